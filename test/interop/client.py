"""Asks a running server everything a tritonclient user would; test/interop/tritonclient.test.ts starts both.

    client.py HOST:PORT      prints one line of JSON a case: its name, and null or a traceback

The server runs in explicit mode over a repository with identity models (see the test).
"""

import json
import queue
import sys
import time
import traceback

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc


def tensor(name, array, datatype):
    it = triton.InferInput(name, array.shape, datatype)
    it.set_data_from_numpy(array)
    return it


def echo(client, model, array, datatype, **options):
    result = client.infer(model, [tensor("INPUT0", array, datatype)], **options)
    return result.as_numpy("OUTPUT0"), result.get_response()


def refused(call, code, text):
    """The error of a call that must fail."""
    try:
        call()
    except triton.InferenceServerException as error:
        assert error.status() == f"StatusCode.{code}", error.status()
        assert text in error.message(), error.message()
        return
    raise AssertionError(f"not refused: {text}")


def health(client, url):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fp32")
    assert client.is_model_ready("fp32", "1")
    assert not client.is_model_ready("unknown")


def server_metadata(client, url):
    metadata = client.get_server_metadata()
    assert metadata.name == "interop", metadata.name
    assert "statistics" in metadata.extensions, metadata.extensions
    assert "model_repository" in metadata.extensions, metadata.extensions


def model_metadata(client, url):
    metadata = client.get_model_metadata("fp32")
    assert (metadata.name, list(metadata.versions)) == ("fp32", ["1"])
    (it,) = metadata.inputs
    assert (it.name, it.datatype, list(it.shape)) == ("INPUT0", "FP32", [-1, -1]), it
    (it,) = metadata.outputs
    assert (it.name, it.datatype, list(it.shape)) == ("OUTPUT0", "FP32", [-1, -1]), it
    as_json = client.get_model_metadata("fp32", as_json=True)
    assert as_json["name"] == "fp32"
    refused(lambda: client.get_model_metadata("unknown"), "NOT_FOUND", "Request for unknown model: 'unknown' is not found")


def model_config(client, url):
    config = client.get_model_config("fp32").config
    assert config.name == "fp32" and config.backend == "identity" and config.max_batch_size == 8
    assert config.input[0].name == "INPUT0" and list(config.input[0].dims) == [-1]
    assert config.HasField("dynamic_batching")
    assert config.version_policy.latest.num_versions == 1


def infer_raw(client, url):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    answer, response = echo(client, "fp32", array, "FP32", request_id="raw-1")
    np.testing.assert_array_equal(answer, array)
    assert (response.model_name, response.model_version, response.id) == ("fp32", "1", "raw-1")
    # an output by name, with a parameter of ours, a timeout and headers
    result = client.infer(
        "fp32", [tensor("INPUT0", array, "FP32")], model_version="1",
        outputs=[triton.InferRequestedOutput("OUTPUT0")],
        parameters={"note": "hello", "count": 3, "flag": True}, headers={"x-extra": "1"}, client_timeout=10,
        priority=1, timeout=10_000_000,
    )
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def infer_fp16(client, url):
    array = np.array([[0.5, -2.0, 65504.0, np.inf]], dtype=np.float16)
    answer, _ = echo(client, "fp16", array, "FP16")
    assert answer.dtype == np.float16
    np.testing.assert_array_equal(answer, array)


def infer_datatypes(client, url):
    for name, dtype in {
        "bool": np.bool_, "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
        "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64, "fp64": np.float64,
    }.items():
        limits = [0, 1] if dtype in (np.bool_, np.float64) else [np.iinfo(dtype).min, np.iinfo(dtype).max]
        array = np.array([limits], dtype=dtype)
        answer, _ = echo(client, name, array, name.upper())
        assert answer.dtype == dtype, (name, answer.dtype)
        np.testing.assert_array_equal(answer, array)


def infer_bytes(client, url):
    array = np.array([["one", "", "drei 3 \u20ac"], ["\x00", "x" * 70_000, "last"]], dtype=object)
    answer, _ = echo(client, "bytes", array, "BYTES")
    expected = [[text.encode() for text in row] for row in array.tolist()]
    assert answer.tolist() == expected
    empty = np.empty((1, 0), dtype=object)
    answer, _ = echo(client, "bytes", empty, "BYTES")
    assert answer.shape == (1, 0)


def infer_typed(client, url):
    """Typed contents (`InferTensorContents`), which tritonclient never sends: through the stub it brings along."""
    cases = [
        ("fp32", "FP32", "fp32_contents", [1.5, -2.0], np.float32),
        ("fp64", "FP64", "fp64_contents", [1.5, -2.0], np.float64),
        ("int8", "INT8", "int_contents", [-128, 127], np.int8),
        ("int16", "INT16", "int_contents", [-32768, 32767], np.int16),
        ("int32", "INT32", "int_contents", [-(2**31), 2**31 - 1], np.int32),
        ("int64", "INT64", "int64_contents", [-(2**63), 2**63 - 1], np.int64),
        ("uint8", "UINT8", "uint_contents", [0, 255], np.uint8),
        ("uint16", "UINT16", "uint_contents", [0, 65535], np.uint16),
        ("uint32", "UINT32", "uint_contents", [0, 2**32 - 1], np.uint32),
        ("uint64", "UINT64", "uint64_contents", [0, 2**64 - 1], np.uint64),
        ("bool", "BOOL", "bool_contents", [True, False], np.bool_),
    ]
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for model, datatype, field, values, dtype in cases:
            request = pb.ModelInferRequest(model_name=model)
            it = request.inputs.add(name="INPUT0", datatype=datatype, shape=[1, 2])
            getattr(it.contents, field).extend(values)
            (raw,) = stub.ModelInfer(request, timeout=10).raw_output_contents
            assert np.frombuffer(raw, dtype).tolist() == values, model
        request = pb.ModelInferRequest(model_name="bytes")
        it = request.inputs.add(name="INPUT0", datatype="BYTES", shape=[1, 2])
        it.contents.bytes_contents.extend([b"one", b""])
        (raw,) = stub.ModelInfer(request, timeout=10).raw_output_contents
        assert raw == b"\x03\x00\x00\x00one\x00\x00\x00\x00"


def infer_async(client, url):
    answers = queue.Queue()
    for i in range(50):
        array = np.full((1, 4), i, dtype=np.float32)
        client.async_infer(
            "fp32", [tensor("INPUT0", array, "FP32")], request_id=str(i),
            callback=lambda result, error: answers.put(error or result),
        )
    seen = {}
    for _ in range(50):
        result = answers.get(timeout=30)
        assert not isinstance(result, Exception), result
        seen[int(result.get_response().id)] = result.as_numpy("OUTPUT0")[0, 0]
    assert seen == {i: i for i in range(50)}, seen


def cancel(client, url):
    answers = queue.Queue()
    array = np.zeros((1, 4), dtype=np.float32)
    handle = client.async_infer(
        "slow", [tensor("INPUT0", array, "FP32")], callback=lambda result, error: answers.put(error or result)
    )
    handle.cancel()
    error = answers.get(timeout=30)
    assert isinstance(error, triton.InferenceServerException), error
    assert error.status() == "StatusCode.CANCELLED", error.status()
    refused(
        lambda: client.infer("slow", [tensor("INPUT0", array, "FP32")], client_timeout=0.05),
        "DEADLINE_EXCEEDED", "eadline",
    )


def stream(client, url):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for i in range(20):
        array = np.full((1, 4), i, dtype=np.float32)
        # too large a batch in the middle fails alone and leaves the stream open
        if i == 10:
            array = np.zeros((9, 4), dtype=np.float32)
        client.async_stream_infer("fp32", [tensor("INPUT0", array, "FP32")], request_id=str(i))
    for i in range(20):
        result, error = answers.get(timeout=30)
        if i == 10:
            assert error is not None
            assert "inference request batch-size must be <= 8 for 'fp32'" in error.message(), error.message()
        else:
            assert error is None, error
            assert result.get_response().id == str(i)
            assert result.as_numpy("OUTPUT0")[0, 0] == i
    client.stop_stream()


def statistics(client, url):
    def counts():
        stats = client.get_inference_statistics("counted").model_stats[0]
        return stats, (stats.inference_count, stats.inference_stats.success.count, stats.inference_stats.fail.count)

    before = counts()[1]
    for _ in range(3):
        echo(client, "counted", np.zeros((2, 4), dtype=np.float32), "FP32")
    stats, after = counts()
    assert [b - a for a, b in zip(before, after)] == [6, 3, 0], (before, after)
    assert (stats.name, stats.version) == ("counted", "1")
    assert stats.inference_stats.compute_infer.count == 3
    assert stats.inference_stats.success.ns >= stats.inference_stats.queue.ns > 0
    assert [(row.batch_size, row.compute_infer.count) for row in stats.batch_stats] == [(2, 3)]
    names = {row.name for row in client.get_inference_statistics().model_stats}
    assert {"counted", "fp32"} <= names, names


def load_unload(client, url):
    index = {row.name: row for row in client.get_model_repository_index().models}
    assert (index["fp32"].state, index["fp32"].version) == ("READY", "1"), index["fp32"]
    assert index["later"].state != "READY", index["later"]
    array = np.zeros((1, 4), dtype=np.float32)
    refused(lambda: echo(client, "later", array, "FP32"), "NOT_FOUND", "Request for unknown model: 'later' is not found")
    client.load_model("later")
    assert client.is_model_ready("later")
    echo(client, "later", array, "FP32")
    # a configuration in the request replaces the file's
    config = json.dumps({
        "name": "later", "backend": "identity", "max_batch_size": 2,
        "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [4]}],
        "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [4]}],
    })
    client.load_model("later", config=config)
    assert client.get_model_config("later").config.max_batch_size == 2
    client.unload_model("later")
    wait_until(lambda: not client.is_model_ready("later"))
    refused(lambda: client.load_model("broken"), "INVALID_ARGUMENT", "load failed for model 'broken': version 1")
    refused(lambda: client.load_model("nowhere"), "INTERNAL", "failed to load 'nowhere', failed to poll")
    client.unload_model("nowhere")


def wait_until(holds):
    for _ in range(200):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("did not come true")


def errors(client, url):
    array = np.zeros((1, 4), dtype=np.float32)
    refused(lambda: echo(client, "nope", array, "FP32"), "NOT_FOUND", "Request for unknown model: 'nope' is not found")
    refused(
        lambda: echo(client, "fp32", array, "FP32", model_version="9"), "NOT_FOUND",
        "Request for unknown model: 'fp32' version 9 is not found",
    )
    refused(
        lambda: echo(client, "fp32", array.astype(np.int32), "INT32"), "INVALID_ARGUMENT",
        "inference input 'INPUT0' data-type is 'INT32', but model 'fp32' expects 'FP32'",
    )
    refused(
        lambda: echo(client, "fp32", np.zeros((9, 4), dtype=np.float32), "FP32"), "INVALID_ARGUMENT",
        "inference request batch-size must be <= 8 for 'fp32'",
    )
    refused(
        lambda: client.infer("fp32", [tensor("WRONG", array, "FP32")]), "INVALID_ARGUMENT",
        "unexpected inference input 'WRONG'",
    )
    refused(
        lambda: echo(client, "fp32", array, "FP32", outputs=[triton.InferRequestedOutput("NONE")]), "INVALID_ARGUMENT",
        "unexpected inference output 'NONE' for model 'fp32'",
    )
    refused(
        lambda: client.get_inference_statistics("nope"), "INVALID_ARGUMENT", "requested model 'nope' is not available"
    )


CASES = [
    health, server_metadata, model_metadata, model_config, infer_raw, infer_fp16, infer_datatypes, infer_bytes,
    infer_typed, infer_async, cancel, stream, statistics, load_unload, errors,
]


def main():
    (url,) = sys.argv[1:]
    for case in CASES:
        error = None
        with triton.InferenceServerClient(url) as client:
            try:
                case(client, url)
            except Exception:
                error = traceback.format_exc()
        print(json.dumps({"name": case.__name__, "error": error}), flush=True)


if __name__ == "__main__":
    main()

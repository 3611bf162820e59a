/** Flags of tritonserver that are accepted without effect, so that its start scripts work here. None is about security. */
import { inert } from "./flag.ts";

const REPEATABLE = { repeatable: true };
const HTTP_API = "HTTP serves health only for now";
const GRPC_JS = "the gRPC library has no such setting";
const TRACE = "tracing is not available yet";
const CACHE = "the response cache is not available yet";
const RATE = "the rate limiter is not available yet";
const FRONT_END = "this front end is not available";
const NO_GPU = "no GPU is managed here";

/** One row each. */
export const INERT_FLAGS = [
  inert("model-namespacing", "boolean", "model names are one namespace for now"),
  inert("model-load-gpu-limit", "text", NO_GPU, REPEATABLE),
  inert("backend-directory", "text", "backends are built in"),
  inert("repoagent-directory", "text", "there are no repository agents"),
  inert("http-header-forward-pattern", "text", HTTP_API),
  inert("http-thread-count", "integer", HTTP_API),
  inert("http-max-input-size", "integer", HTTP_API),
  inert("grpc-header-forward-pattern", "text", "headers are not forwarded yet"),
  inert("grpc-infer-thread-count", "integer", "gRPC runs on one event loop"),
  inert("grpc-infer-allocation-pool-size", "integer", "responses are not pooled"),
  inert("grpc-max-response-pool-size", "integer", "responses are not pooled"),
  inert("grpc-infer-response-compression-level", "text", "the gRPC library cannot compress responses"),
  inert("grpc-keepalive-permit-without-calls", "boolean", GRPC_JS),
  inert("grpc-http2-max-pings-without-data", "integer", GRPC_JS),
  inert("grpc-http2-min-recv-ping-interval-without-data", "integer", GRPC_JS),
  inert("grpc-http2-max-ping-strikes", "integer", GRPC_JS),
  inert("allow-gpu-metrics", "boolean", NO_GPU),
  inert("metrics-config", "text", "counters are always on, summaries are not available yet", REPEATABLE),
  inert("trace-config", "text", TRACE, REPEATABLE),
  inert("trace-file", "text", TRACE),
  inert("trace-level", "text", TRACE, REPEATABLE),
  inert("trace-rate", "integer", TRACE),
  inert("trace-count", "integer", TRACE),
  inert("trace-log-frequency", "integer", TRACE),
  inert("cache-config", "text", CACHE, REPEATABLE),
  inert("cache-directory", "text", CACHE),
  inert("response-cache-byte-size", "integer", CACHE),
  inert("rate-limit", "text", RATE),
  inert("rate-limit-resource", "text", RATE, REPEATABLE),
  inert("allow-sagemaker", "boolean", FRONT_END),
  inert("sagemaker-port", "integer", FRONT_END),
  inert("sagemaker-safe-port-range", "text", FRONT_END),
  inert("sagemaker-thread-count", "integer", FRONT_END),
  inert("allow-vertex-ai", "boolean", FRONT_END),
  inert("vertex-ai-port", "integer", FRONT_END),
  inert("vertex-ai-thread-count", "integer", FRONT_END),
  inert("vertex-ai-default-model", "text", FRONT_END),
  inert("pinned-memory-pool-byte-size", "integer", NO_GPU),
  inert("cuda-memory-pool-byte-size", "text", NO_GPU, REPEATABLE),
  inert("cuda-virtual-address-size", "text", NO_GPU, REPEATABLE),
  inert("enable-peer-access", "boolean", NO_GPU),
  inert("min-supported-compute-capability", "number", NO_GPU),
  inert("buffer-manager-thread-count", "integer", "buffers are moved by the instances' own threads"),
  inert("host-policy", "text", "host policies are not available", REPEATABLE),
] as const;

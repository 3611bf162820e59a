/** Main file of an ONNX instance's own process, see docs/instance-protocol.md. */
import { serveInstance } from "./child-end.ts";
import { OnnxBody } from "./onnx-body.ts";

await serveInstance(new OnnxBody());
process.exit(0);

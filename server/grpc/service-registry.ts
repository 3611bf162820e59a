/** Adds services to a gRPC server: every method classified, restricted ones guarded, no handler able to leak an error. */
import type {
  Server,
  ServerDuplexStream,
  ServerUnaryCall,
  ServiceDefinition,
  sendUnaryData,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { InferenceError } from "../../proto/errors.ts";
import type { RequiredHeader, Restrictions } from "../options/restriction.ts";
import { checkAccess, protocolOf } from "./access.ts";
import { grpcError } from "./grpc-error.ts";

/** Stands between services and the server; also what the reflection package adds its services to. */
export class ServiceRegistry implements Pick<Server, "addService"> {
  /** Path of every method that was added. */
  readonly paths: string[] = [];
  readonly #server: Server;
  readonly #restrictions: Restrictions;

  constructor(server: Server, restrictions: Restrictions) {
    this.#server = server;
    this.#restrictions = restrictions;
  }

  /** Methods without an implementation answer UNIMPLEMENTED, restricted or not: they tell nothing. */
  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    const guarded: UntypedServiceImplementation = {};
    for (const [name, method] of Object.entries(definition)) {
      const required = this.#restrictions.get(protocolOf(method.path));
      this.paths.push(method.path);
      const implemented = method.originalName === undefined ? name : method.originalName;
      const handler = implementation[name] ?? implementation[implemented];
      if (handler === undefined) continue;
      guarded[name] = required === undefined ? handler.bind(implementation) : guard(handler, required, implementation);
    }
    this.#server.addService(definition, guarded);
  }
}

type AnyCall = ServerUnaryCall<unknown, unknown> & ServerDuplexStream<unknown, unknown>;
type AnyHandler = (this: unknown, call: AnyCall, callback?: sendUnaryData<unknown>) => void;

/** Refuses a call without the header before its handler sees it; a call with a callback is unary, others are streams. */
function guard(handler: UntypedHandleCall, required: RequiredHeader, owner: unknown): UntypedHandleCall {
  const inner = handler as AnyHandler;
  const guarded: AnyHandler = (call, callback) => {
    try {
      checkAccess(call.metadata, required);
    } catch (error) {
      if (callback === undefined) call.emit("error", grpcError(error));
      else callback(grpcError(error));
      return;
    }
    inner.call(owner, call, callback);
  };
  return guarded as UntypedHandleCall;
}

/** Sees every failure of a handler; returns what the client shall read. */
export type Report = (error: unknown) => InferenceError;

/** A small RPC: a function from request to answer. */
export type UnaryFunction<Request, Answer> = (request: Request) => Answer | Promise<Answer>;

/** Such a function as a grpc-js handler: whatever it throws becomes the call's status, and nothing else. */
export function unary<Request, Answer>(
  answer: UnaryFunction<Request, Answer>,
  report: Report,
): (call: ServerUnaryCall<Request, Answer>, callback: sendUnaryData<Answer>) => void {
  const run = async (request: Request, callback: sendUnaryData<Answer>) => {
    try {
      callback(null, await answer(request));
    } catch (error) {
      callback(grpcError(report(error)));
    }
  };
  return (call, callback) => {
    void run(call.request, callback);
  };
}

/** Opens a listening socket, or says in one line why that cannot be and what to do. */
import type { Server as NetServer } from "node:net";
import { InferenceError } from "../proto/errors.ts";
import type { Endpoint } from "./options/serve-options.ts";

/** How the user names the endpoint. */
export interface EndpointName {
  readonly what: string;
  readonly portFlag: string;
  readonly addressFlag: string;
}

/** Resolves with the port (port 0 lets the system choose); rejects with UNAVAILABLE. */
export function listen(server: NetServer, endpoint: Endpoint, name: EndpointName): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) =>
      reject(new InferenceError("UNAVAILABLE", reason(error, endpoint, name)));
    server.once("error", onError);
    server.listen({ host: endpoint.host, port: endpoint.port, reusePort: endpoint.reusePort }, () => {
      server.off("error", onError);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : endpoint.port);
    });
  });
}

function reason(error: NodeJS.ErrnoException, endpoint: Endpoint, name: EndpointName): string {
  const start = `cannot open ${name.what} at ${endpoint.host}:${endpoint.port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${start}: another process uses this port; stop it or choose another with ${name.portFlag}`;
    case "EACCES":
      return `${start}: this user may not open the port; choose one above 1023 with ${name.portFlag}`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${start}: this machine has no such address; choose one with ${name.addressFlag}`;
    default:
      return `${start}: ${error.message}`;
  }
}

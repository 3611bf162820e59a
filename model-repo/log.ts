/** Where the repository writes what an operator should know; pino's loggers satisfy it. */

export interface Log {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

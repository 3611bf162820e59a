/** Bounds of one inference message on the wire, checked while it is scanned: before a hostile message costs anything. */

/** Every bound is inclusive; what exceeds one is refused with INVALID_ARGUMENT naming the bound and the value. */
export interface WireLimits {
  readonly maxInputs: number;
  readonly maxOutputs: number;
  /** Entries of raw_input_contents (raw_output_contents in a response). */
  readonly maxRawTensors: number;
  /** Entries of one parameter map, repeated keys included. */
  readonly maxParameters: number;
  readonly maxParameterKeyBytes: number;
  readonly maxModelNameBytes: number;
  readonly maxRequestIdBytes: number;
  /** Every other string: tensor names, datatypes, the model version, string parameters. */
  readonly maxStringBytes: number;
  readonly maxDims: number;
  /** Pieces of one tensor's typed contents: protobuf lets a sender split a message, no known client does. */
  readonly maxContentsPieces: number;
  /** Protobuf fields of the whole message, typed contents left out. Bounds what unknown and repeated fields cost. */
  readonly maxFields: number;
}

/** The defaults. Triton bounds none of these: they are wide enough that its clients do not meet them. */
export const TRITON_LIMITS: WireLimits = {
  maxInputs: 1_024,
  maxOutputs: 1_024,
  maxRawTensors: 1_024,
  maxParameters: 256,
  maxParameterKeyBytes: 256,
  maxModelNameBytes: 255,
  maxRequestIdBytes: 1_024,
  maxStringBytes: 65_536,
  maxDims: 16,
  maxContentsPieces: 1_024,
  maxFields: 262_144,
};

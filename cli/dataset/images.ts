/** From pictures of one byte a pixel to the one image input of a cascade. */
import type { Tensor } from "../../proto/tensor.ts";
import type { TensorSpec } from "../../scheduler/signature.ts";
import { convertElements, isFloat } from "./convert.ts";
import { badData, type DatasetOptions, describeShape, type Images } from "./dataset.ts";

const PIXEL_SCALE = 1 / 255;

/** What an image input takes; a size of -1 is any. */
export interface ImageInput {
  readonly spec: TensorSpec;
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
}

/**
 * The cascade's only input as one of images: dims [1 or 3, height, width], or [height, width] for gray ones. Throws
 * INVALID_ARGUMENT where there are more inputs or other dims.
 */
export function imageInput(inputs: readonly TensorSpec[], file: string): ImageInput {
  const [spec] = inputs;
  if (spec === undefined || inputs.length !== 1) {
    const names = inputs.map(({ name }) => `'${name}'`).join(", ");
    throw badData(`${file}: images are for a cascade with one input, this one has ${names}; use a .npz file`);
  }
  const [channels, height, width] = spec.dims.length === 2 ? [1, ...spec.dims] : spec.dims;
  const isImage = spec.dims.length === 2 || spec.dims.length === 3;
  if (!isImage || height === undefined || width === undefined || (channels !== 1 && channels !== 3)) {
    const found = `input '${spec.name}' is ${describeShape(spec.datatype, spec.dims)}`;
    throw badData(`${file}: ${found}; images need [rows, 1 or 3 channels, height, width]; use a .npz file`);
  }
  return { spec, channels, height, width };
}

/** Refuses a picture of another size than the input's: resizing is out of scope. */
export function checkSize(height: number, width: number, input: ImageInput, where: string): void {
  const { spec } = input;
  if ((input.height !== -1 && input.height !== height) || (input.width !== -1 && input.width !== width)) {
    const expected = `${input.height === -1 ? "any" : input.height} x ${input.width === -1 ? "any" : input.width}`;
    throw badData(
      `${where} is ${height} x ${width} (height x width), input '${spec.name}' takes ${expected}: images are not ` +
        "resized, bring them to the model's size first",
    );
  }
}

/** Pixels as the input's tensor, times `--scale` (1/255) where it is of floating point. */
export function imageTensor(images: Images, rows: number, { spec }: ImageInput, options: DatasetOptions): Tensor {
  const { channels, height, width, pixels } = images;
  const shape = spec.dims.length === 2 ? [rows, height, width] : [rows, channels, height, width];
  const scale = options.scale ?? (isFloat(spec.datatype) ? PIXEL_SCALE : 1);
  const where = `the images of input '${spec.name}'`;
  const data = convertElements({ datatype: "UINT8", shape, data: pixels }, spec.datatype, scale, where);
  return { name: spec.name, datatype: spec.datatype, shape, data };
}

/** What a calibration found, as text for the terminal. */
import type { CalibratedCascade } from "../../planner/cascade/calibrate.ts";
import type { CascadeFile, OperatingPoint } from "../../proto/files/cascade-file.ts";

export function calibrationText(file: CascadeFile, calibrated: CalibratedCascade, certifyUses: number): string {
  const lastCost = file.levels.at(-1)?.cost;
  const lines = ["", "Levels (certify split)", row(["", "model", "right", "cost/row", "confidence", "AUROC"])];
  file.levels.forEach((level, k) => {
    const judged = calibrated.judged[k];
    lines.push(
      row([
        String(k),
        level.model,
        percent(calibrated.levelAccuracy[k]?.accuracy ?? 0),
        `${(level.cost?.value ?? 0).toPrecision(3)} ${level.cost?.unit ?? ""}`,
        level.confidence?.function ?? "-",
        judged === undefined ? "-" : judged.after.auroc.toFixed(3),
      ]),
    );
  });
  lines.push(
    "",
    `Operating points (certify split; cost as a share of '${file.levels.at(-1)?.model}' alone)`,
    row(["point", "right", "drop", "cost", "reach of levels", "certificate"]),
    ...file.operatingPoints.map((point) => pointRow(point, lastCost?.value ?? 0, point.name === file.default)),
    "",
  );
  const passed = calibrated.steps.filter((step) => step.passed).length;
  if (passed <= 1) lines.push(...nothingCertified(file, calibrated));
  if (certifyUses > 1) {
    lines.push(
      `note: these certify rows were used ${certifyUses} times for this cascade; a promise that was looked for ` +
        "repeatedly is weaker than its risk says. Certify on new rows where it matters.",
    );
  }
  lines.push(`Default: ${file.default}`);
  return `${lines.join("\n")}\n`;
}

/** A share of 1 in percent. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function pointRow(point: OperatingPoint, lastCost: number, isDefault: boolean): string {
  const { expected, certificate } = point;
  if (expected === null) return row([point.name, "-", "-", "-", "-", "-"]);
  return row([
    `${point.name}${isDefault ? " *" : ""}`,
    percent(expected.accuracy),
    percent(expected.gap),
    lastCost > 0 ? percent(expected.cost.value / lastCost) : "-",
    expected.reach.map((share) => `${(share * 100).toFixed(1)}`).join(" / "),
    certificate === null
      ? "uncertified"
      : `${certificate.metric} <= ${percent(certificate.bound)} (asked ${percent(certificate.epsilon)})`,
  ]);
}

/** The best pairs of margin and saving, and what the asked margin would need. */
function nothingCertified(file: CascadeFile, { pairs, path }: CalibratedCascade): string[] {
  const lastCost = path[0]?.cost ?? 1;
  return [
    `Nothing cheaper than '${file.levels.at(-1)?.model}' alone could be certified at this margin. What these rows can certify:`,
    row(["", "drop", "cost", "samples for half the cost"]),
    ...pairs.map(({ epsilon, cost, samplesForHalfCost }) =>
      row([
        "",
        percent(epsilon),
        percent(cost / lastCost),
        Number.isFinite(samplesForHalfCost) ? `about ${samplesForHalfCost}` : "out of reach of these levels",
      ]),
    ),
    "",
  ];
}

const WIDTHS = [18, 16, 10, 20, 22, 0];

function row(cells: readonly string[]): string {
  return `  ${cells.map((cell, i) => cell.padEnd(WIDTHS[i] ?? 0)).join(" ")}`.trimEnd();
}

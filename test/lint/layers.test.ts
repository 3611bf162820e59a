/** The linter's own test: every forbidden import, a cycle, a floating promise and an overlong file are found. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const BIOME = join(ROOT, "node_modules/@biomejs/biome/bin/biome");

/** Our folders, bottom first, and the packages each may import beside the folders in `layers`. */
const FOLDERS: Record<string, { layers: string[]; packages: string[] }> = {
  proto: {
    layers: [],
    packages: ["@grpc/proto-loader", "protobufjs", "protobufjs/ext/textformat.js", "fflate", "node:fs"],
  },
  scheduler: { layers: ["proto"], packages: [] },
  "model-repo": {
    layers: ["proto", "scheduler"],
    packages: ["node:fs/promises", "onnxruntime-node", "@grpc/grpc-js", "opossum"],
  },
  planner: { layers: ["proto", "scheduler"], packages: [] },
  server: {
    layers: ["proto", "scheduler", "model-repo", "planner"],
    packages: ["node:http", "@grpc/grpc-js", "@grpc/reflection", "prom-client", "pino"],
  },
  cli: {
    layers: ["proto", "scheduler", "model-repo", "planner", "server"],
    packages: ["node:util", "pngjs", "jpeg-js"],
  },
};
const EVERY_FOLDER = [...Object.keys(FOLDERS), "test", "bench", "examples"];
const EVERY_PACKAGE = [
  ...new Set(Object.values(FOLDERS).flatMap(({ packages }) => packages)),
  "node:worker_threads",
  "fs",
  "opossum",
  "@biomejs/biome",
];

interface Diagnostic {
  readonly category: string;
  readonly message: string;
  readonly location: { readonly path: string };
}

interface Case {
  readonly path: string;
  readonly text: string;
}

/** An import of `specifier` and nothing else. */
function importing(specifier: string): string {
  return `import { something } from "${specifier}";\nsomething();\n`;
}

/** Every import that a file of `folder`, in the folder itself or one below, could try. */
function imports(folder: string): { allowed: Case[]; forbidden: Case[] } {
  const { layers, packages } = FOLDERS[folder] ?? { layers: [], packages: [] };
  const allowed: Case[] = [];
  const forbidden: Case[] = [];
  for (const { below, up, own } of [
    { below: "", up: "../", own: ["./other.ts", "./inner/other.ts"] },
    { below: "inner/", up: "../../", own: ["./other.ts", "../other.ts", "../second/other.ts"] },
  ]) {
    const add = (cases: Case[], specifier: string, text = importing(specifier)) => {
      cases.push({ path: `${folder}/${below}case-${allowed.length}-${forbidden.length}.ts`, text });
    };
    for (const specifier of [...own, ...layers.map((layer) => `${up}${layer}/other.ts`)]) add(allowed, specifier);
    for (const layer of layers) add(allowed, `${up}${layer}/inner/other.ts`);
    for (const name of packages) add(allowed, name);
    for (const other of EVERY_FOLDER) {
      if (other !== folder && !layers.includes(other)) add(forbidden, `${up}${other}/other.ts`);
    }
    const above = folder === "cli" ? "bench" : "cli";
    add(forbidden, `${up}${above}/inner/other.ts`);
    add(forbidden, `./${up}${above}/other.ts`);
    add(forbidden, `./inner/../${up}${above}/other.ts`);
    for (const layer of layers) add(forbidden, `${up}${layer}/../${above}/other.ts`);
    for (const name of EVERY_PACKAGE) {
      const anyNode = name.startsWith("node:") && packages.some((known) => known.startsWith("node:"));
      const anyGrpc = name.startsWith("@grpc/") && packages.some((known) => known.startsWith("@grpc/"));
      if (!packages.includes(name) && !anyNode && !anyGrpc) add(forbidden, name);
    }
    add(forbidden, "typescript", `export const load = () => import("typescript");\n`);
    add(forbidden, "typescript", `export { something } from "typescript";\n`);
    add(
      forbidden,
      "typescript",
      `import type { Something } from "typescript";\nexport const something: Something = 1;\n`,
    );
  }
  forbidden.push({ path: `${folder}/too/deep/case.ts`, text: importing("../../other.ts") });
  return { allowed, forbidden };
}

const PLANTED: Record<string, { rule: string; files: Case[] }> = {
  "a cycle": {
    rule: "lint/suspicious/noImportCycles",
    files: [
      { path: "scheduler/cycle/a.ts", text: `import { b } from "./b.ts";\nexport const a = () => b();\n` },
      { path: "scheduler/cycle/b.ts", text: `import { a } from "./a.ts";\nexport const b = () => a();\n` },
    ],
  },
  "a cycle of types": {
    rule: "lint/suspicious/noImportCycles",
    files: [
      { path: "proto/cycle/a.ts", text: `import type { B } from "./b.ts";\nexport interface A {\n  b: B;\n}\n` },
      { path: "proto/cycle/b.ts", text: `import type { A } from "./a.ts";\nexport interface B {\n  a: A;\n}\n` },
    ],
  },
  "a floating promise": {
    rule: "lint/nursery/noFloatingPromises",
    files: [
      {
        path: "server/floating.ts",
        text: "async function work(): Promise<void> {}\nexport function start(): void {\n  work();\n}\n",
      },
    ],
  },
  "a switch that forgets a case": {
    rule: "lint/nursery/useExhaustiveSwitchCases",
    files: [
      {
        path: "scheduler/forgets.ts",
        text: `export function name(kind: "a" | "b"): string {\n  switch (kind) {\n    case "a":\n      return "A";\n  }\n  return "";\n}\n`,
      },
    ],
  },
  any: {
    rule: "lint/suspicious/noExplicitAny",
    files: [{ path: "cli/any.ts", text: "export const value: any = 1;\n" }],
  },
  "a non-null assertion": {
    rule: "lint/style/noNonNullAssertion",
    files: [{ path: "cli/non-null.ts", text: "export const first = (list: string[]) => list[0]!.length;\n" }],
  },
  "a barrel": {
    rule: "lint/performance/noBarrelFile",
    files: [{ path: "planner/barrel.ts", text: `export * from "./plan.ts";\nexport { a } from "./other.ts";\n` }],
  },
  "a name that is not kebab-case": {
    rule: "lint/style/useFilenamingConvention",
    files: [{ path: "model-repo/notKebab.ts", text: "export const value = 1;\n" }],
  },
  "a file of 401 lines": {
    rule: "lint/style/noExcessiveLinesPerFile",
    files: [{ path: "test/overlong.ts", text: "export {};\n".repeat(401) }],
  },
};

describe("the linter", () => {
  let folder = "";
  let diagnostics: Diagnostic[] = [];
  const found = (path: string, rule: string) =>
    diagnostics.filter((diagnostic) => diagnostic.location.path === path && diagnostic.category === rule);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hybridserve-lint-"));
    for (const file of ["biome.json", ".gitignore", "package.json"]) await cp(join(ROOT, file), join(folder, file));
    const files = Object.keys(FOLDERS).flatMap((name) => Object.values(imports(name)).flat());
    for (const { path, text } of [...files, ...Object.values(PLANTED).flatMap((plant) => plant.files)]) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    diagnostics = await lint(folder);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const name of Object.keys(FOLDERS)) {
    const { allowed, forbidden } = imports(name);
    it(`finds every forbidden import of ${name}/ and lets the allowed ones be`, () => {
      const rule = "lint/style/noRestrictedImports";
      const missed = forbidden.filter(({ path }) => found(path, rule).length === 0);
      const wronged = allowed.filter(({ path }) => found(path, rule).length > 0);
      assert.deepEqual({ missed, wronged }, { missed: [], wronged: [] });
      assert.ok(forbidden.length > 20 && allowed.length >= 5);
    });
  }

  for (const [name, { rule, files }] of Object.entries(PLANTED)) {
    it(`finds ${name}`, () => {
      for (const { path } of files) assert.equal(found(path, rule).length > 0, true, `${rule} is silent on ${path}`);
    });
  }
});

/** The errors that Biome reports in a folder. */
function lint(folder: string): Promise<Diagnostic[]> {
  const parameters = ["lint", "--reporter=json", "--max-diagnostics=none", "."];
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [BIOME, ...parameters],
      { cwd: folder, maxBuffer: 64 * 1024 * 1024 },
      (_error, stdout, stderr) => {
        const start = stdout.indexOf("{");
        if (start < 0) reject(new Error(`biome gave no report: ${stdout}${stderr}`));
        else resolve((JSON.parse(stdout.slice(start)) as { diagnostics: Diagnostic[] }).diagnostics);
      },
    );
  });
}

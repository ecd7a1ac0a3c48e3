// jest runs TypeScript as native ES modules: swc strips the types, Node resolves the rest.
export default {
  testEnvironment: "node",
  roots: ["<rootDir>/test"],
  extensionsToTreatAsEsm: [".ts"],
  transform: {
    "^.+\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2022" } }],
  },
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  // A test fails by what it waits for, which says why; this is for what hangs. On a busy machine the
  // start of a server alone may take half a minute.
  testTimeout: 120_000,
};

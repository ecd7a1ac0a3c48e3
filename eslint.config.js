import tseslint from "typescript-eslint";

const noDefaultExport = {
  selector: "ExportDefaultDeclaration",
  message: "Export by name, so that a thing is called the same everywhere.",
};

export default tseslint.config(
  { ignores: ["dist/", "src/generated/", "node_modules/"] },
  {
    files: ["src/**/*.ts", "dev/**/*.ts", "bench/**/*.ts", "test/**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "no-restricted-syntax": ["error", noDefaultExport],
      "@typescript-eslint/consistent-type-assertions": ["error", { assertionStyle: "never" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "max-lines-per-function": ["error", { max: 60, skipComments: true, skipBlankLines: true }],
      "max-lines": ["error", { max: 300 }],
      complexity: ["error", 16],
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: { "max-lines": ["error", { max: 500 }], "max-lines-per-function": "off" },
  },
  {
    // Wiring is read from top to bottom in one place.
    files: ["src/authz/*.ts", "src/cli/*.ts", "src/sessions/*.ts"],
    rules: { "max-lines-per-function": ["error", { max: 120, skipComments: true }] },
  },
  {
    // One protocol, told in one piece.
    files: ["src/authz/follow/follower.ts"],
    rules: { "max-lines": ["error", { max: 450 }] },
  },
  { files: ["dev/**/*.ts", "bench/**/*.ts"], rules: { "no-console": "off" } },
);

#!/usr/bin/env node
/** The command line: picks a program. */
import { runCommandLine } from "./cli/command-line.js";

process.exitCode = await runCommandLine(process.argv);

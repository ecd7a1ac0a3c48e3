/** The gRPC port under attack: checks and probes go on, and memory stays. */
import { testAttacks } from "../support/attacked-node.js";
import * as attacks from "../support/grpc-attacks.js";

testAttacks("gRPC port", ({ listen }) => listen, [
  ["1,000 silent connections", (address) => attacks.silentConnections(address, 1000)],
  ["1,000 connections without a request", (address) => attacks.idleConnections(address, 1000)],
  ["1,000 unfinished requests", (address) => attacks.unfinishedRequests(address, 10)],
  ["500 answers that are not read", (address) => attacks.unreadAnswers(address, 5)],
  ["600 resets at a time", (address) => attacks.rapidResets(address, 1, 600)],
  ["80 requests with 64 KiB of headers", (address) => attacks.largeHeaders(address, 4)],
  ["a flood of CONTINUATION frames", (address) => attacks.continuationFlood(address, 1)],
  ["a flood of PING frames", (address) => attacks.pingFlood(address, 1)],
  ["a flood of SETTINGS frames", (address) => attacks.settingsFlood(address, 1)],
  ["a flood of PRIORITY frames", (address) => attacks.priorityFlood(address, 1)],
]);

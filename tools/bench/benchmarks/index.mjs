// All benchmarks, in the order of `--list`.
import { cost } from './cost.mjs';
import { http } from './http.mjs';
import { idle } from './idle.mjs';
import { loss } from './loss.mjs';
import { nodeHttp } from './node-http.mjs';
import { programBenchmarks } from './programs.mjs';

export const benchmarks = [...programBenchmarks, http, nodeHttp, idle, loss, cost];

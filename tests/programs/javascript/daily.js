// What a JavaScript program does in a day, under QuickJS: language, promises, timers, files.
const say = (...what) => console.log(...what);

say([3, 1, 2].sort().join(), [..."äß👍"].length, 2n ** 70n, 0.1 + 0.2, -0 === 0, NaN !== NaN);
say(JSON.stringify({ b: [1, { c: null }], a: "\u2028" }), /(?<y>\d+)-(\d+)/.exec("in 2024-02").groups.y);
say(new Date(Date.UTC(2024, 1, 29, 12)).toISOString(), new Map([[1, 2]]).get(1), typeof structuredClone);
function* count() { for (let i = 0; ; i++) { yield i; } }
for (const i of count()) { if (i > 3) { say("generated", i); break; } }
try { null.property; } catch (e) { say(e.name); }
const bytes = new Uint8Array(new Float64Array([Math.PI]).buffer);
say(Array.from(bytes).map((b) => b.toString(16).padStart(2, "0")).join(""));

const top = scriptArgs[1];
say("mkdir", os.mkdir(top + "/js"), os.mkdir(top + "/js") !== 0);
const f = std.open(top + "/js/file", "w+");
f.puts("first line\nsecond line\n");
f.seek(6, std.SEEK_SET);
say(f.getline(), f.getline(), f.getline(), f.eof());
f.close();
say(os.rename(top + "/js/file", top + "/js/other"), std.loadFile(top + "/js/other").length);
say(os.stat(top + "/js/other")[0].size, os.stat(top + "/none")[1] !== 0);
say(os.readdir(top + "/js")[0].sort().join());
say(os.remove(top + "/js/gone") !== 0, std.open("/etc/passwd", "r"), std.getenv("A"), std.getenv("HOME"));

const start = Date.now();
os.setTimeout(() => say("timer", Date.now() - start >= 10), 10);
Promise.all([1, 2, 3].map(async (n) => n * (await n))).then((r) => say("promises", r.join()));

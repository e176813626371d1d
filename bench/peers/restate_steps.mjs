// restate_steps.mjs PORT: a Restate service whose handler makes steps that do nothing and gives the
// nanoseconds of each.
if (!Promise.withResolvers) {
    Promise.withResolvers = function () {
        let resolve, reject;
        const promise = new this((yes, no) => { resolve = yes; reject = no; });
        return { promise, resolve, reject };
    };
}
const restate = await import("@restatedev/restate-sdk");

const bench = restate.service({
    name: "bench",
    handlers: {
        steps: async (ctx, n) => {
            const taken = [];
            for (let i = 0; i < n; i++) {
                const begun = process.hrtime.bigint();
                await ctx.run("nothing", () => i);
                taken.push(Number(process.hrtime.bigint() - begun));
            }
            return taken;
        },
    },
});

restate.serve({ services: [bench], port: Number(process.argv[2]) });

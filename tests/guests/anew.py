"""Two rounds with a checkpoint after each, then another input: each start finds what it is told."""
import shannon

given = shannon.input()
state = shannon.state({"texts": []})
if given.get("stage") == "second":
    shannon.log("continued")
    last = shannon.llm("the last of " + given["query"])
    shannon.output({"texts": given["texts"], "last": last})
elif len(state["texts"]) < 2:
    never = shannon.start("signal", name="never")
    state["texts"].append(shannon.llm(f"round {len(state['texts'])} of {given['query']}"))
    print("round", len(state["texts"]), end=" ")
    never.drop()
    shannon.checkpoint(state)
else:
    shannon.continue_as_new({"query": given["query"], "stage": "second", "texts": state["texts"]})

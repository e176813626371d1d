"""Every part of the SDK once; what came of it is the output. See features.c."""
import shannon


def memory(found):
    shannon.kv.put("f.k", {"a": 1})
    found["got"] = shannon.kv.get("f.k")
    found["missing"] = shannon.kv.get("f.none") is None
    found["sum"] = shannon.kv.increment("f.n", 2)
    found["first"] = shannon.kv.cas("f.c", 1)
    found["second"] = shannon.kv.cas("f.c", 2, expect=5)
    items = shannon.kv.list("f.")
    found["items"] = [{"key": key, "value": value} for key, value in items.items()]
    shannon.kv.delete("f.c")


def waiting(found):
    never = shannon.start("signal", name="never")
    found["late"] = shannon.wait_any([never], timeout=0.03) is None
    never.drop()
    shannon.compensate("kv.put", key="f.undone", value=True)
    asked = shannon.message("ask")
    shannon.reply(asked["update"], {"n": asked["payload"]["n"] + 1})
    found["approved"] = shannon.approval("go on?")["approved"]


def everything():
    found = shannon.state()
    if found is not None:
        shannon.output(found)
        return
    found = {}
    try:
        shannon.http("https://example.org/")
    except shannon.Error as error:
        found["denied"] = error.code
    memory(found)
    waiting(found)
    found["child"] = shannon.workflow("child", {"query": "c"})["status"]
    shannon.publish("seen", {"n": 1})
    print("before", end=" ")
    shannon.checkpoint(found)


mode = shannon.input()["mode"]
if mode == "all":
    everything()
elif mode == "fail":
    shannon.compensate("kv.put", key="f.undone", value=True)
    shannon.web_fetch("https://example.org/")
elif mode == "cancel":
    try:
        shannon.signal("never")
    except shannon.Canceled:
        shannon.kv.put("f.cleaned", True)
elif mode == "python":
    shannon.output(shannon.python("print(6*7)"))
elif mode == "nul":
    code = ""
    try:
        shannon.kv.put("f.nul", "a\0b")
    except shannon.Error as error:
        code = error.code
    try:
        shannon.output({"code": code, "text": "a\0b"})
    except shannon.Error as error:
        assert error.code == code
        shannon.output({"code": code, "text": "a\ufffdb"})
elif mode == "again":
    shannon.continue_as_new({"mode": "next"})
else:
    shannon.output({"mode": mode})

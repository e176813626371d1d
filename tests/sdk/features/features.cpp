// Every part of the SDK once; what came of it is the output. See features.c.
#include "shannon.hpp"

using namespace std::chrono_literals;
using shannon::Done;
using shannon::Json;
using shannon::Object;
using shannon::Result;

static Result<Done> memory(shannon::Agent &agent, Object &found) {
    if (auto put = agent.kv_put("f.k", Json(R"({"a":1})")); !put) {
        return put;
    }
    auto got = agent.kv_get("f.k");
    auto none = agent.kv_get("f.none");
    auto sum = agent.kv_increment("f.n", 2);
    auto first = agent.kv_cas("f.c", std::nullopt, Json("1"));
    auto second = agent.kv_cas("f.c", Json("5"), Json("2"));
    auto items = agent.kv_list("f.");
    if (!got || !none || !sum || !first || !second || !items) {
        return shannon::Error{"failed", "kv", false};
    }
    found.add("got", **got).add("missing", !none->has_value()).add("sum", *sum);
    found.add("first", *first).add("second", *second).add("items", *items);
    return agent.kv_delete("f.c");
}

static Result<Done> waiting(shannon::Agent &agent, Object &found) {
    {
        auto never = agent.start("signal", Object().add("name", "never").text());
        if (!never) {
            return never.error();
        }
        auto first = agent.wait_any_for(30ms, {&*never});
        if (!first) {
            return first.error();
        }
        found.add("late", !first->has_value());
    }
    Json undo(Object().add("key", "f.undone").add("value", true).text());
    if (auto undone = agent.compensate("kv.put", undo); !undone) {
        return undone.error();
    }
    auto asked = agent.message("ask");
    if (!asked) {
        return asked.error();
    }
    Json answer(Object().add("n", static_cast<int>(asked->number("payload.n")) + 1).text());
    if (auto said = agent.reply(asked->string("update"), answer); !said) {
        return said;
    }
    auto approved = agent.approval("go on?");
    if (!approved) {
        return approved.error();
    }
    found.add("approved", *approved);
    return Done();
}

static Result<Done> all(shannon::Agent &agent) {
    if (auto state = agent.state()) {
        return agent.output(*state);
    }
    Object found;
    found.add("denied", agent.http("https://example.org/").error().code);
    if (auto done = memory(agent, found); !done) {
        return done;
    }
    if (auto done = waiting(agent, found); !done) {
        return done;
    }
    auto child = agent.workflow("child", Json(R"({"query":"c"})"));
    if (!child) {
        return child.error();
    }
    if (auto seen = agent.publish("seen", R"({"n":1})"); !seen) {
        return seen;
    }
    std::printf("before ");
    return agent.checkpoint(found.add("child", child->string("status")).text());
}

static Result<Done> run(shannon::Agent &agent) {
    std::string mode = agent.input().string("mode");
    if (mode == "all") {
        return all(agent);
    }
    if (mode == "fail") {
        Json undo(R"({"key":"f.undone","value":true})");
        if (auto undone = agent.compensate("kv.put", undo); !undone) {
            return undone.error();
        }
        return agent.web_fetch("https://example.org/").error();
    }
    if (mode == "cancel") {
        auto never = agent.signal("never");
        return !never && never.error().canceled() ? agent.kv_put("f.cleaned", Json("true"))
                                                  : Result<Done>(never.error());
    }
    if (mode == "python") {
        auto answer = agent.python("print(6*7)");
        return answer ? agent.output(answer->text()) : answer.error();
    }
    if (mode == "again") {
        return agent.continue_as_new(Json(R"({"mode":"next"})"));
    }
    if (mode == "nul") {
        std::string text("a\0b", 3);
        auto kept = agent.call(
            "kv.put", shannon::Object().add("key", "f.nul").add("value", text).text());
        std::string code = kept ? "" : kept.error().code;
        return agent.output(shannon::Object().add("code", code).add("text", text).text());
    }
    return agent.output(agent.input().text());
}

int main() {
    shannon::Agent agent;
    auto done = run(agent);
    return done ? 0 : shannon::Agent::fail(done.error());
}

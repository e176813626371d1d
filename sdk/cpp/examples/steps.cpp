// The agent that every SDK has an example of: a few steps, two of them side by side.
#include "shannon.hpp"

using namespace std::chrono_literals;

static shannon::Result<shannon::Done> steps(shannon::Agent &agent) {
    if (auto said = agent.progress("begin"); !said) {
        return said;
    }
    auto sum = agent.call("calculator", shannon::Object().add("expression", "6*7").text());
    if (!sum) {
        return sum.error();
    }
    auto one = agent.start("llm", agent.llm_args("one: " + agent.query()));
    auto two = agent.start("llm", agent.llm_args("two: " + agent.query()));
    if (!one || !two) {
        return one ? two.error() : one.error();
    }
    if (auto all = agent.wait_all({&*one, &*two}); !all) {
        return all;
    }
    std::vector<std::string> texts;
    for (auto *activity : {&*one, &*two}) {
        auto answer = activity->take();
        if (!answer) {
            return answer.error();
        }
        texts.push_back(answer->string("content"));
    }
    std::string kept = shannon::Json(shannon::Object().add("v", texts).text()).at("v").text();
    if (auto put = agent.kv_put("last", shannon::Json(kept)); !put) {
        return put;
    }
    if (auto slept = agent.sleep(20ms); !slept) {
        return slept;
    }
    return agent.output(shannon::Object()
                            .add("answer", texts[0] + " / " + texts[1])
                            .add("value", sum->number("value"))
                            .text());
}

int main() {
    shannon::Agent agent;
    auto done = steps(agent);
    return done ? 0 : shannon::Agent::fail(done.error());
}

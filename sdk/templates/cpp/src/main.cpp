// Answers a question in one sentence.
#include "shannon.hpp"

static shannon::Result<shannon::Done> run(shannon::Agent &agent) {
    if (auto said = agent.progress("asking the model"); !said) {
        return said;
    }
    auto answer = agent.llm("Answer in one sentence: " + agent.query());
    if (!answer) {
        return answer.error();
    }
    return agent.output(shannon::Object().add("answer", *answer).text());
}

int main() {
    shannon::Agent agent;
    auto done = run(agent);
    return done ? 0 : shannon::Agent::fail(done.error());
}

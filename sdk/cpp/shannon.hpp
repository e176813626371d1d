// What a C++ agent is written against: RAII over sdk/c/shannon.h, which is linked too. C++17.
//
//     int main() {
//         shannon::Agent agent;
//         auto answer = agent.llm("Answer in one sentence: " + agent.query());
//         if (!answer) {
//             return agent.fail(answer.error());
//         }
//         std::puts(answer->c_str());
//     }
//
// Nothing here throws: what can fail gives a Result. With exceptions enabled, value() throws
// shannon::Error where there is none; without, it ends the agent with the error's text.
#ifndef SHANNON_HPP
#define SHANNON_HPP

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

extern "C" {
#include "shannon.h"
}

namespace shannon {

struct Error {
    std::string code;    // one of docs/errors.md, such as "permission_denied"
    std::string message; // for people
    bool retryable = false;

    bool canceled() const {
        return code == "canceled";
    }
};

template <class T> class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::move(value)) {}
    Result(Error error) : state_(std::move(error)) {}
    explicit operator bool() const {
        return state_.index() == 0;
    }
    const Error &error() const {
        return std::get<1>(state_);
    }
    T &operator*() {
        return std::get<0>(state_);
    }
    T *operator->() {
        return &std::get<0>(state_);
    }
    T &value() {
        if (!*this) {
#ifdef __cpp_exceptions
            throw error();
#else
            std::fprintf(stderr, "%s: %s\n", error().code.c_str(), error().message.c_str());
            std::exit(1);
#endif
        }
        return **this;
    }

  private:
    std::variant<T, Error> state_;
};

using Done = std::monostate; // the value of what gives nothing

// A JSON text, read with the small reader of the C SDK and written with its writer.
class Json {
  public:
    Json() = default;
    explicit Json(std::string text) : text_(std::move(text)) {}
    const std::string &text() const {
        return text_;
    }
    bool has(const std::string &path) const {
        return shannon_json_get(view(), path.c_str()).p != nullptr;
    }
    // Members and array indexes separated by dots; "" and 0 when there is no such string or number.
    std::string string(const std::string &path) const {
        return taken(shannon_json_string(shannon_json_get(view(), path.c_str())));
    }
    double number(const std::string &path) const {
        return shannon_json_number(shannon_json_get(view(), path.c_str()), 0);
    }
    bool is_true(const std::string &path) const {
        return shannon_json_is_true(shannon_json_get(view(), path.c_str()));
    }
    Json at(const std::string &path) const {
        struct shannon_view v = shannon_json_get(view(), path.c_str());
        return v.p ? Json(std::string(v.p, v.n)) : Json();
    }

    static std::string taken(char *text) {
        std::string copy = text ? text : "";
        std::free(text);
        return copy;
    }

  private:
    struct shannon_view view() const {
        return shannon_view_n(text_.data(), text_.size());
    }
    std::string text_;
};

// No text of the host has the character NUL: it becomes U+FFFD.
inline std::string text_of(std::string_view text) {
    std::string out;
    for (char c : text) {
        c ? out.push_back(c) : (void)out.append("\xEF\xBF\xBD");
    }
    return out;
}

// Builds an object: Object().add("n", 1).add("who", "me").text()
class Object {
  public:
    Object() {
        shannon_json_open(&writer_, '{');
    }
    Object(const Object &) = delete;
    Object &operator=(const Object &) = delete;
    ~Object() {
        std::free(writer_.p);
    }
    Object &add(const char *name, std::string_view value) {
        shannon_json_key(&writer_, name);
        shannon_json_strn(&writer_, value.data(), value.size());
        return *this;
    }
    Object &add(const char *name, const char *value) {
        return add(name, std::string_view(value));
    }
    Object &add(const char *name, double value) {
        shannon_json_key(&writer_, name);
        shannon_json_double(&writer_, value);
        return *this;
    }
    Object &add(const char *name, std::int64_t value) {
        shannon_json_key(&writer_, name);
        shannon_json_int(&writer_, value);
        return *this;
    }
    Object &add(const char *name, int value) {
        return add(name, static_cast<std::int64_t>(value));
    }
    Object &add(const char *name, bool value) {
        shannon_json_key(&writer_, name);
        shannon_json_bool(&writer_, value);
        return *this;
    }
    Object &add(const char *name, const Json &value) {
        shannon_json_key(&writer_, name);
        shannon_json_raw(&writer_, shannon_view_n(value.text().data(), value.text().size()));
        return *this;
    }
    Object &add(const char *name, const std::vector<std::string> &values) {
        shannon_json_key(&writer_, name);
        shannon_json_open(&writer_, '[');
        for (const auto &value : values) {
            shannon_json_strn(&writer_, value.data(), value.size());
        }
        shannon_json_close(&writer_, ']');
        return *this;
    }
    // Once: the object is closed by it.
    std::string text() {
        shannon_json_close(&writer_, '}');
        return Json::taken(shannon_json_take(&writer_));
    }

  private:
    struct shannon_json writer_ = {};
};

class Agent;

// Something under way. Destroying it forgets its answer; what was asked for may happen all the
// same.
class Activity {
  public:
    Activity(Activity &&other) noexcept
        : agent_(other.agent_), handle_(std::exchange(other.handle_, 0)) {}
    Activity &operator=(Activity &&other) noexcept {
        std::swap(agent_, other.agent_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Activity() {
        if (handle_ > 0) {
            shannon_raw_activity_drop(handle_);
        }
    }
    Result<Json> wait(); // waits, and takes the answer
    Result<Json> take(); // the answer of one that a wait gave

  private:
    friend class Agent;
    Activity(Agent *agent, std::int32_t handle) : agent_(agent), handle_(handle) {}
    Agent *agent_;
    std::int32_t handle_;
};

class Agent {
  public:
    Agent() : ctx_(shannon_open()) {}
    ~Agent() {
        shannon_close(ctx_);
    }
    Agent(const Agent &) = delete;
    Agent &operator=(const Agent &) = delete;

    Json input() const {
        return Json(shannon_input(ctx_));
    }
    std::string query() const {
        return shannon_query(ctx_);
    }
    // Print the error on standard error and give the exit status of a failed agent.
    static int fail(const Error &error) {
        std::fprintf(stderr, "%s: %s\n", error.code.c_str(), error.message.c_str());
        return 1;
    }

    Result<std::string> llm(const std::string &prompt) {
        char *text = shannon_llm(ctx_, "%s", text_of(prompt).c_str());
        return text ? Result<std::string>(Json::taken(text)) : error();
    }
    // The arguments of an llm call with one question, for start.
    std::string llm_args(const std::string &prompt) {
        return Json::taken(shannon_llm_args(ctx_, "%s", text_of(prompt).c_str()));
    }
    Result<Json> call(const char *op, const std::string &args) {
        char *text = shannon_tool(ctx_, op, args.c_str());
        return text ? Result<Json>(Json(Json::taken(text))) : error();
    }
    Result<Activity> start(const char *op, const std::string &args) {
        std::int32_t handle = shannon_start(ctx_, op, args.c_str());
        if (handle <= 0) {
            return error();
        }
        return Activity(this, handle);
    }
    // The index of the one whose answer came first. At most 256.
    Result<std::size_t> wait_any(const std::vector<Activity *> &activities) {
        std::vector<std::int32_t> handles;
        for (const Activity *a : activities) {
            handles.push_back(a->handle_);
        }
        std::int32_t first = shannon_wait_any(ctx_, handles.data(), handles.size());
        for (std::size_t i = 0; i < handles.size(); i++) {
            if (handles[i] == first) {
                return i;
            }
        }
        return error();
    }
    // The same for so long only: no index when the time came first. The time is durable.
    Result<std::optional<std::size_t>> wait_any_for(std::chrono::milliseconds limit,
                                                    std::vector<Activity *> activities) {
        auto timer =
            start("sleep", Object().add("ms", static_cast<std::int64_t>(limit.count())).text());
        if (!timer) {
            return timer.error();
        }
        activities.push_back(&*timer);
        auto first = wait_any(activities);
        if (!first) {
            return first.error();
        }
        bool late = *first == activities.size() - 1;
        return late ? std::optional<std::size_t>() : std::optional<std::size_t>(*first);
    }
    Result<Done> wait_all(std::vector<Activity *> activities) {
        while (!activities.empty()) {
            auto first = wait_any(activities);
            if (!first) {
                return first.error();
            }
            activities.erase(activities.begin() + static_cast<std::ptrdiff_t>(*first));
        }
        return Done();
    }

    Result<Done> sleep(std::chrono::milliseconds time) {
        return done(shannon_sleep_ms(ctx_, static_cast<std::uint64_t>(time.count())));
    }
    // The payload of the next message of that name.
    Result<Json> signal(const char *name) {
        return member(message(name), "payload");
    }
    // The same with the id to answer by, when it is an update: {name, payload, update?}.
    Result<Json> message(const char *name) {
        return call("signal", Object().add("name", name).text());
    }
    // Answer an update, once: with a result, or with an error.
    Result<Done> reply(const std::string &update, const Json &result) {
        return done(shannon_reply(ctx_, update.c_str(), result.text().c_str()));
    }
    Result<Done> reply_error(const std::string &update, const std::string &why) {
        return done(shannon_reply_error(ctx_, update.c_str(), text_of(why).c_str()));
    }
    // Yes or no; no also when nobody answers in time. 0: the host's default.
    Result<bool> approval(const std::string &message, std::chrono::milliseconds limit = {}) {
        int yes = shannon_approval(ctx_, text_of(message).c_str(), nullptr,
                                   static_cast<std::uint64_t>(limit.count()));
        return yes < 0 ? Result<bool>(error()) : Result<bool>(yes == 1);
    }
    // Another agent as a child of this task: {status, result, output?, exit_status, usage}. For its
    // other options (capabilities, session, detached): call("workflow", ...).
    Result<Json> workflow(const char *agent, const Json &input) {
        return call("workflow", Object().add("agent", agent).add("input", input).text());
    }
    // A script of yours in a sandbox of its own: {stdout, stderr, exit_status, result?, usage}.
    Result<Json> python(const std::string &code, const Json &input = Json("{}")) {
        return call("python", Object().add("code", code).add("input", input).text());
    }
    // {status, url, headers, body or body_base64}; any status is an answer. Options: call("http", ...).
    Result<Json> http(const std::string &url) {
        return call("http", Object().add("url", url).text());
    }
    // An array of {title, url, snippet}.
    Result<Json> web_search(const std::string &query, int count = 10) {
        return member(call("web_search", Object().add("query", query).add("count", count).text()),
                      "results");
    }
    // A page as text: {url, title, text, links, content_type, truncated}.
    Result<Json> web_fetch(const std::string &url) {
        return call("web_fetch", Object().add("url", url).text());
    }
    // What undoes a step; the host does it, last first, when the task fails or is canceled.
    Result<Json> compensate(const char *op, const Json &args) {
        return call("compensate", Object().add("op", op).add("args", args).text());
    }
    Result<Done> kv_put(const char *key, const Json &value) {
        return done(shannon_kv_put(ctx_, key, value.text().c_str()));
    }
    Result<std::optional<Json>> kv_get(const char *key) {
        char *text = shannon_kv_get(ctx_, key);
        if (!text && shannon_error(ctx_)) {
            return error();
        }
        return text ? std::optional<Json>(Json(Json::taken(text))) : std::optional<Json>();
    }

    Result<Done> kv_delete(const char *key) {
        return done(shannon_kv_delete(ctx_, key));
    }
    // Keys with that beginning, in order: [{key, value}].
    Result<Json> kv_list(const char *prefix) {
        return member(call("kv.list", Object().add("prefix", prefix).text()), "items");
    }
    // The sum; a key that is not there is 0.
    Result<std::int64_t> kv_increment(const char *key, std::int64_t by = 1) {
        long long sum = 0;
        int r = shannon_kv_increment(ctx_, key, by, &sum);
        return r < 0 ? Result<std::int64_t>(error()) : Result<std::int64_t>(sum);
    }
    // Put if the key has the expected value, or if it is not there (nullopt). Was it put?
    Result<bool> kv_cas(const char *key, const std::optional<Json> &expect, const Json &value) {
        int r = shannon_kv_cas(ctx_, key, expect ? expect->text().c_str() : nullptr,
                               value.text().c_str());
        return r < 0 ? Result<bool>(error()) : Result<bool>(r == 1);
    }

    Result<Done> emit(const char *type, const std::string &json) {
        return done(shannon_emit(ctx_, type, json.c_str()));
    }
    Result<Done> progress(const std::string &text) {
        return done(shannon_progress(ctx_, "%s", text_of(text).c_str()));
    }
    Result<Done> log(const std::string &text) {
        return done(shannon_log(ctx_, "%s", text_of(text).c_str()));
    }
    Result<Done> publish(const char *name, const std::string &json) {
        return done(shannon_publish(ctx_, name, json.c_str()));
    }
    Result<Done> output(const std::string &json) {
        return done(shannon_output(ctx_, json.c_str()));
    }
    // Comes back only when it fails.
    Error checkpoint(std::string_view state) {
        (void)shannon_checkpoint(ctx_, state.data(), state.size());
        return error();
    }
    // The same without a state, and with another input.
    Error continue_as_new(const Json &input) {
        (void)shannon_continue_as_new(ctx_, input.text().c_str());
        return error();
    }
    // The state of the last checkpoint; nothing at the very first start.
    std::optional<std::string> state() {
        std::size_t n = 0;
        void *bytes = shannon_state(ctx_, &n);
        if (!bytes) {
            return std::nullopt;
        }
        std::string copy(static_cast<const char *>(bytes), n);
        std::free(bytes);
        return copy;
    }

    struct shannon_ctx *raw() {
        return ctx_;
    }

  private:
    friend class Activity;
    Error error() const {
        const char *code = shannon_error_code(ctx_), *message = shannon_error(ctx_);
        return {code ? code : "failed", message ? message : "no error was recorded",
                shannon_error_retryable(ctx_)};
    }
    Result<Done> done(int result) const {
        return result < 0 ? Result<Done>(error()) : Result<Done>(Done());
    }
    static Result<Json> member(Result<Json> answer, const char *path) {
        return answer ? Result<Json>(answer->at(path)) : std::move(answer);
    }
    struct shannon_ctx *ctx_;
};

inline Result<Json> Activity::take() {
    char *text = shannon_take(agent_->ctx_, std::exchange(handle_, 0));
    return text ? Result<Json>(Json(Json::taken(text))) : agent_->error();
}

inline Result<Json> Activity::wait() {
    auto first = agent_->wait_any({this});
    return first ? take() : Result<Json>(first.error());
}

} // namespace shannon

#endif

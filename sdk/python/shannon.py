"""What a Shannon agent in Python is written against.

    import shannon

    answer = shannon.llm("Answer in one sentence: " + shannon.query())
    shannon.output({"answer": answer})

Everything asked of the world is an activity: it is written down before it happens, and after a crash
the script is run again and given the answers it had. So a script must reach the world through this
module alone; clocks, randomness and files are safe, the host makes them the same in every run.

Errors of activities are raised as shannon.Error."""

import _json
import errno as _errno
import sys as _sys

__all__ = ["Activity", "Canceled", "Error", "approval", "call", "chat", "checkpoint", "compensate",
           "continue_as_new", "emit", "http", "input", "kv", "llm", "log", "message", "output",
           "progress", "publish", "python", "query", "reply", "reply_error", "signal", "sleep",
           "start", "state", "wait_all", "wait_any", "web_fetch", "web_search", "workflow"]

_LINE_MAX = 1 << 20  # bytes of one request
_OPEN_MAX = 256  # activities at a time

_device = None
_unread = b""
_next = 0
_flying = set()  # numbers of those whose answers have not been read
_dropped = set()  # those of them whose answers nobody wants
_arrived = {}  # answers that were read while another was waited for


class _Rules:
    """What json.loads gives the parser."""

    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = float, int, staticmethod(float)


def _not_json(value):
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


# What `json` itself hands the work to. To import `json` takes longer than most scripts run: it brings
# `re` and `enum`, which are code in Python.
_parse = _json.make_scanner(_Rules)


def _text(value):
    """json.dumps(value, ensure_ascii=False, allow_nan=False)"""
    write = _json.make_encoder({}, _not_json, _json.encode_basestring, None, ": ", ", ", False, False,
                               False)
    return "".join(write(value, 0))


class Error(Exception):
    """An activity that failed. code is one of docs/errors.md, such as "permission_denied"."""

    def __init__(self, code, message, retryable=False):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.retryable = code, message, retryable


class Canceled(Error):
    """The task was canceled: told once, then the script has its grace time to clean up."""


def _open():
    global _device
    if _device is None:
        _device = open("/dev/shannon", "r+b", buffering=0)
    return _device


def _refused(error):
    if error.errno == _errno.ECANCELED:
        return Canceled("canceled", "the task was canceled")
    if error.errno in (_errno.EMFILE, _errno.E2BIG, _errno.EMSGSIZE):
        return Error("limit_exceeded", str(error))
    return Error("invalid_argument", str(error))


def _line(op, args, **more):
    request = {**more, "op": op, "args": args}
    line = _text(request).encode()
    if len(line) > _LINE_MAX:
        raise Error("limit_exceeded", f"a request has at most {_LINE_MAX} bytes as JSON, this one "
                    f"({op}) has {len(line)}")
    return line + b"\n"


def _send(line):
    try:
        while line:
            line = line[_open().write(line):]
    except OSError as error:
        raise _refused(error) from None


def _read_answer():
    """One answer, in the order of the journal, into _arrived; its number."""
    global _unread
    while b"\n" not in _unread:
        try:
            chunk = _open().read(65536)
        except OSError as error:
            raise _refused(error) from None
        if not chunk:
            raise Error("invalid_argument", "nothing is under way that could be waited for")
        _unread += chunk
    line, _unread = _unread.split(b"\n", 1)
    answer = _parse(line.decode(), 0)[0]
    number = answer.get("id")
    _flying.discard(number)
    if number in _dropped:
        _dropped.discard(number)
    else:
        _arrived[number] = answer
    return number


class Activity:
    """Something under way, made by start."""

    def __init__(self, number):
        self._number = number

    def wait(self):
        """Its answer, once it is there."""
        while self._number not in _arrived:
            _read_answer()
        return self.take()

    def take(self):
        """The answer of one that wait_any gave."""
        answer = _arrived.pop(self._number, None)
        if answer is None:
            raise Error("invalid_argument", "its answer has not been waited for, or was taken")
        if "error" in answer:
            error = answer["error"]
            kind = Canceled if error["code"] == "canceled" else Error
            raise kind(error["code"], error["message"], error.get("retryable", False))
        return answer["ok"]

    def drop(self):
        """Forget its answer; what was asked for may happen all the same."""
        if self._number in _flying:
            _dropped.add(self._number)
        _arrived.pop(self._number, None)


def start(op, /, **args):
    """Ask for something without waiting for it."""
    global _next
    if len(_flying) >= _OPEN_MAX:
        raise Error("limit_exceeded", f"{_OPEN_MAX} activities are open; wait for one first")
    line = _line(op, args, id=_next + 1)
    _next += 1
    _send(line)
    _flying.add(_next)
    return Activity(_next)


def call(op, /, **args):
    """Do one thing and wait for it: call("calculator", expression="1+1")["value"]"""
    return start(op, **args).wait()


def wait_any(activities, timeout=None):
    """The one whose answer came first; None when `timeout` seconds, a durable timer, came first."""
    wanted = {a._number: a for a in activities}
    for number in list(_arrived):  # in the order in which they were read
        if number in wanted:
            return wanted[number]
    timer = start("sleep", ms=int(timeout * 1000)) if timeout is not None else None
    try:
        while True:
            number = _read_answer()
            if number in wanted:
                return wanted[number]
            if timer and number == timer._number:
                return None
    finally:
        if timer:
            timer.drop()


def wait_all(activities):
    """Their answers, in the order given; the first error among them is raised."""
    activities = list(activities)
    for activity in activities:
        while activity._number not in _arrived:
            _read_answer()
    return [activity.take() for activity in activities]


# ---- the task ----

def input():
    """The task's input."""
    try:
        return call("input")
    except Error as error:
        if error.code != "limit_exceeded":
            raise
    with open("/dev/input", "rb") as file:  # too large for an answer
        return _parse(file.read().decode().lstrip(), 0)[0]


def query():
    """The member "query" of the input, or ""."""
    given = input()
    return given.get("query", "") if isinstance(given, dict) else ""


def output(value):
    """The task's result, at most once. Without it, standard output is the answer."""
    text = _text(value).encode()
    if len(text) < _LINE_MAX // 2:
        call("output", value=value)
    else:  # too large for a request
        with open("/dev/output", "wb") as file:
            file.write(text)


def emit(kind, data=None):
    """An event that people watch."""
    call("emit", type=kind, data=data)


def progress(message):
    emit("progress", {"message": message})


def log(message):
    emit("log", {"message": message})


def publish(name, data):
    """What queries from outside read under that name."""
    call("publish", name=name, data=data)


def _begin_anew(op, **args):
    global _device, _unread
    line = _line(op, args)
    if _flying - _dropped:
        raise Error("invalid_argument", f"{op}: {len(_flying - _dropped)} activities are open; wait "
                    "for their answers, or drop them")
    if _device is not None:  # what was dropped goes with it
        _device.close()
        _device, _unread = None, b""
        _flying.clear()
        _dropped.clear()
    for stream in (_sys.stdout, _sys.stderr):
        if stream is not None:
            stream.flush()
    _send(line)


def checkpoint(state):
    """Start the script anew from this state (JSON), now and after a crash alike: does not return.
    No activity may be open; files that are being written have to be closed."""
    _begin_anew("checkpoint", state=state)


def continue_as_new(input):
    """The same without a state, and with another input: what is to be done next."""
    _begin_anew("continue_as_new", input=input)


def state(default=None):
    """The state of the last checkpoint; `default` at the very first start."""
    found = call("state")
    return found["state"] if found["found"] else default


# ---- operations ----

def chat(messages, **options):
    """A whole OpenAI chat completion request; gives {"content", "tool_calls"?, "usage", ...}."""
    return call("llm", messages=messages, **options)


def llm(prompt, **options):
    """Ask the language model one question: its text."""
    return chat([{"role": "user", "content": prompt}], **options)["content"]


def sleep(seconds):
    """Wait durably: a restart goes on where it was."""
    call("sleep", ms=int(seconds * 1000))


def signal(name):
    """The next message of that name from outside; as long as it takes."""
    return message(name)["payload"]


def message(name):
    """The same as {"name", "payload", "update"?}: the id by which an update is answered."""
    return call("signal", name=name)


def reply(update, result=None):
    """Answer an update, once."""
    call("signal.reply", id=update, result=result)


def reply_error(update, message):
    """Answer an update with an error, once."""
    call("signal.reply", id=update, error={"message": message})


def approval(message, data=None, timeout=None):
    """Ask a person: {"approved", "by", "reason"}. No answer within `timeout` seconds is a no."""
    args = {"message": message}
    if data is not None:
        args["data"] = data
    if timeout is not None:
        args["timeout_ms"] = int(timeout * 1000)
    return call("approval", **args)


def workflow(agent, input=None, **options):
    """Run another agent as a child: {"status", "result", "output"?, "exit_status", "usage"}.
    Options: capabilities, session, detached, timeout_ms."""
    if input is not None:
        options["input"] = input
    return call("workflow", agent=agent, **options)


def python(code, **options):
    """Run a script in a sandbox of its own: {"stdout", "stderr", "exit_status", "result"?, "usage"}.
    Options: input, args, stdin, capabilities (none unless named)."""
    return call("python", code=code, **options)


def http(url, **options):
    """{"status", "url", "headers", "body" or "body_base64"}; every status is an answer.
    Options: method, headers, body, redirects, max_bytes, credential ..."""
    return call("http", url=url, **options)


def web_search(query, **options):
    """[{"title", "url", "snippet"}]. Options: count, language, time_range."""
    return call("web_search", query=query, **options)["results"]


def web_fetch(url, **options):
    """A page as text: {"url", "title", "text", "links", "content_type", "truncated"}."""
    return call("web_fetch", url=url, **options)


def compensate(op, /, **args):
    """What undoes a step: the host does it, last first, when the task fails or is canceled."""
    call("compensate", op=op, args=args)


class kv:
    """The memory of the session, which all its tasks share."""

    @staticmethod
    def get(key, default=None):
        found = call("kv.get", key=key)
        return found["value"] if found["found"] else default

    @staticmethod
    def put(key, value):
        call("kv.put", key=key, value=value)

    @staticmethod
    def delete(key):
        return call("kv.delete", key=key)["deleted"]

    @staticmethod
    def increment(key, by=1):
        return call("kv.increment", key=key, by=by)["value"]

    @staticmethod
    def list(prefix="", **options):
        """{key: value} in key order, at most 100. Options: limit, offset."""
        return {i["key"]: i["value"] for i in call("kv.list", prefix=prefix, **options)["items"]}

    @staticmethod
    def cas(key, value, **expect):
        """Put if the key has the value `expect`, or without one if it is not there; was it put?"""
        return call("kv.cas", key=key, value=value, **expect)["swapped"]

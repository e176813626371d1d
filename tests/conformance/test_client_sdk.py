#!/usr/bin/env python3
"""The official Python client (shannon-sdk, as PyPI has it) works against this server: every call
that the server offers gives what the client's models want, every other ends in the client's own
error, and its streams lose and repeat nothing when the connection breaks. The OpenAPI document is
valid, and what clients get is as it says."""

import asyncio
import pathlib
import socket
import sys
import threading
import time
import unittest
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import client_venv  # noqa: E402
import harness  # noqa: E402

client_venv.enter(harness.BUILD)

import httpx  # noqa: E402
import jsonschema  # noqa: E402
import openapi_spec_validator  # noqa: E402
from shannon import AsyncShannonClient, EventType, ShannonClient, errors  # noqa: E402
from shannon.models import TaskStatusEnum  # noqa: E402

LIMIT = 60  # seconds that anything may take before it counts as lost
QUESTION = "Why does a kettle whistle?"

# Sleeps far longer than any test: whoever runs it is always "running".
SLEEPER = b"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""


def durable(events):
    """(seq, type) of the frames that stand for a journal event of their own."""
    return [(e.seq, e.type) for e in events
            if e.seq and not e.type.startswith("thread.message.")]


class Cutter:
    """Passes bytes between client and server, and cuts the first connections after so many bytes of
    the answer."""

    def __init__(self, port, cuts):
        self.port, self.cuts, self.connections = port, list(cuts), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            left = self.cuts.pop(0) if self.cuts else None
            threading.Thread(target=self.carry, args=(client, left), daemon=True).start()

    def carry(self, client, left):
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            head = b""
            while b"\r\n\r\n" not in head:  # the server knows itself by its own port
                head += client.recv(65536)
            mine, own = self.url[7:].encode(), b"127.0.0.1:%d" % self.port
            server.sendall(head.replace(mine, own))
            while left is None or left > 0:
                data = server.recv(65536 if left is None else left)
                if not data:
                    return
                client.sendall(data)
                left = None if left is None else left - len(data)

    def close(self):
        self.listener.close()


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        warnings.simplefilter("ignore", DeprecationWarning)  # the client asks for a loop the old way
        temporary = harness.temporary_folder()
        cls.addClassCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name)
        cls.model = harness.ScriptedModel(folder, {"rules": [
            {"match": "slowly", "chunk_delay_ms": 100, "times": 100}]})
        cls.addClassCleanup(cls.model.stop)
        cls.server = harness.Server(folder / "data", **cls.model.environment())
        cls.addClassCleanup(cls.server.kill)
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.key = (folder / "data/api-key").read_text().strip()
        for name, data in (("sleeper", SLEEPER),):
            status, body, _ = cls.server.request("POST", f"/api/v1/modules?name={name}", data,
                                                 {"Content-Type": "application/wasm"})
            assert status == 200, body
        cls.client = ShannonClient(base_url=cls.url, api_key=cls.key)
        cls.addClassCleanup(cls.client.close)
        cls.finished = cls.client.submit_task(QUESTION, session_id="talk:1", mode="standard",
                                              context={"tone": "plain"})
        cls.end = cls.wait(cls.finished)

    @classmethod
    def wait(cls, handle):
        return cls.client.wait(handle.task_id, timeout=LIMIT, poll_interval=0.05)

    def sleeper(self, **more):
        return self.client.submit_task("sleep", context={"agent": "sleeper"}, **more)

    def stream(self, task, client=None, **more):
        return list((client or self.client).stream(task, total_timeout=LIMIT, **more))


class Tasks(Base):
    def test_a_task_from_submit_to_result(self):
        self.assertEqual(self.finished.workflow_id, self.finished.task_id)
        self.assertEqual(self.finished.session_id, "talk:1")
        end = self.end
        self.assertEqual(end.status, TaskStatusEnum.COMPLETED)
        self.assertIn("answer", end.result)
        self.assertEqual((end.query, end.session_id, end.progress), (QUESTION, "talk:1", 1.0))
        self.assertEqual((end.mode, end.context), ("standard", {"tone": "plain"}))
        self.assertEqual((end.model_used, end.provider), ("scripted", "openai"))
        self.assertGreater(end.usage["total_tokens"], 0)
        self.assertEqual(end.usage["total_tokens"],
                         end.usage["input_tokens"] + end.usage["output_tokens"])
        self.assertIsNotNone(end.created_at.tzinfo)
        self.assertLessEqual(end.created_at, end.updated_at)
        self.assertFalse(end.error_message)

    def test_submit_and_stream(self):
        handle, url = self.client.submit_and_stream(QUESTION)
        self.assertEqual(httpx.get(self.url + url, headers={"X-API-Key": self.key},
                                   timeout=LIMIT).status_code, 200)
        events = [e.type for e in handle.stream()]
        self.assertEqual(events[0], "WORKFLOW_STARTED")
        self.assertEqual(events[-3:], ["thread.message.completed", "WORKFLOW_COMPLETED", "done"])
        self.assertEqual(handle.result(timeout=LIMIT), self.client.get_status(handle.task_id).result)

    def test_list(self):
        other = self.client.submit_task(QUESTION, session_id="listed")
        self.wait(other)
        tasks, total = self.client.list_tasks(session_id="listed")
        self.assertEqual((len(tasks), total), (1, 1))
        self.assertEqual((tasks[0].task_id, tasks[0].query), (other.task_id, QUESTION))
        self.assertEqual(tasks[0].status, "TASK_STATUS_COMPLETED")
        self.assertGreater(tasks[0].total_token_usage.total_tokens, 0)
        self.assertGreaterEqual(tasks[0].completed_at, tasks[0].created_at)
        done, total = self.client.list_tasks(limit=1, status="COMPLETED")
        self.assertEqual(len(done), 1)
        self.assertGreaterEqual(total, 2)
        second, _ = self.client.list_tasks(limit=1, offset=1, status="COMPLETED")
        self.assertNotEqual(second[0].task_id, done[0].task_id)
        standard, _ = self.client.list_tasks(session_id="talk:1")
        self.assertEqual(standard[0].mode, "standard")

    def test_events_and_timeline(self):
        events = self.client.get_task_events(self.finished.task_id)
        self.assertEqual(events[0].type, "WORKFLOW_STARTED")
        self.assertEqual(events[0].message, QUESTION)
        self.assertEqual(events[-1].type, "WORKFLOW_COMPLETED")
        self.assertEqual([e.seq for e in events], sorted({e.seq for e in events}))
        self.assertEqual({e.workflow_id for e in events}, {self.finished.task_id})
        timeline = self.client.get_task_timeline(self.finished.task_id)
        self.assertEqual(timeline["events"][-1]["type"], "WorkflowCompleted")

    def test_pause_resume_cancel(self):
        handle = self.sleeper()
        state = self.client.get_control_state(handle.task_id)
        self.assertEqual((state.is_paused, state.is_cancelled), (False, False))
        self.assertTrue(self.client.pause_task(handle.task_id, reason="lunch"))
        state = self.client.get_control_state(handle.task_id)
        self.assertEqual((state.is_paused, state.pause_reason, state.paused_by),
                         (True, "lunch", "user"))
        self.assertIsNotNone(state.paused_at)
        self.assertEqual(self.client.get_status(handle.task_id).status, TaskStatusEnum.PAUSED)
        self.assertTrue(self.client.resume_task(handle.task_id))
        self.assertEqual(self.client.get_status(handle.task_id).status, TaskStatusEnum.RUNNING)
        self.assertTrue(handle.cancel(reason="enough"))
        self.assertEqual(self.wait(handle).status, TaskStatusEnum.CANCELLED)
        state = self.client.get_control_state(handle.task_id)
        self.assertEqual((state.is_cancelled, state.cancel_reason, state.cancelled_by),
                         (True, "enough", "user"))
        for call in (self.client.cancel, self.client.pause_task, self.client.resume_task):
            with self.assertRaises(errors.ConnectionError) as caught:
                call(handle.task_id)
            self.assertEqual(caught.exception.code, "409")

    def test_wait_gives_up(self):
        handle = self.sleeper()
        with self.assertRaises(errors.TaskTimeoutError):
            self.client.wait(handle.task_id, timeout=0.2, poll_interval=0.05)
        handle.cancel()

    def test_idempotency_key(self):
        first = self.client.submit_task(QUESTION, idempotency_key="once")
        again = self.client.submit_task(QUESTION, idempotency_key="once")
        self.assertEqual(again.task_id, first.task_id)
        with self.assertRaises(errors.ConnectionError) as caught:
            self.client.submit_task("another question", idempotency_key="once")
        self.assertEqual(caught.exception.code, "409")


class Streams(Base):
    def test_every_event_of_a_task(self):
        handle = self.client.submit_task(QUESTION + " Tell it slowly.")
        events = self.stream(handle.workflow_id)
        types = [e.type for e in events]
        for name in ("WORKFLOW_STARTED", "TOOL_INVOKED", "TOOL_OBSERVATION", "PROGRESS",
                     "thread.message.delta", "thread.message.completed", "WORKFLOW_COMPLETED"):
            self.assertIn(name, types)
        self.assertEqual(types[-1], "done")
        self.assertEqual({e.workflow_id for e in events}, {handle.task_id})
        seqs = [seq for seq, _ in durable(events)]
        self.assertEqual(seqs, sorted(set(seqs)))
        again = self.stream(handle.workflow_id)
        self.assertEqual(durable(again), durable(events))

    def test_resume_after_each_event(self):
        task = self.finished.task_id
        events = self.stream(task)
        for event in events[:-1]:
            rest = durable(self.stream(task, last_event_id=event.id))
            want = [e for e in durable(events) if e[0] > int(event.id)]
            self.assertEqual(rest, want, event)
        message = next(e for e in events if e.type == "thread.message.completed")
        names = [e.type for e in self.stream(task, last_event_id=message.id)]
        self.assertEqual(names[-3:], ["thread.message.completed", "WORKFLOW_COMPLETED", "done"])

    def test_a_broken_connection_loses_and_repeats_nothing(self):
        task = self.finished.task_id
        whole = self.stream(task)
        for cut in (600, 2500):
            cutter = Cutter(self.server.port, [cut])
            self.addCleanup(cutter.close)
            client = ShannonClient(base_url=cutter.url, api_key=self.key)
            events = self.stream(task, client)
            self.assertEqual(cutter.connections, 2)
            self.assertEqual(durable(events), durable(whole))
            self.assertEqual(events[-1].type, "done")
            client.close()

    def test_filters(self):
        task = self.finished.task_id
        for wanted in ([EventType.TOOL_INVOKED], ["TOOL_INVOKED"], ["ActivityScheduled"]):
            types = {e.type for e in self.stream(task, types=wanted)}
            self.assertEqual(types, {"TOOL_INVOKED", "done"})

    def test_an_unknown_task_ends_silently(self):
        self.assertEqual(self.stream("wf-nope"), [])

    def test_a_wrong_key_is_told(self):
        with ShannonClient(base_url=self.url, api_key="wrong") as client:
            with self.assertRaises(errors.ConnectionError) as caught:
                self.stream(self.finished.task_id, client, reconnect=False)
            self.assertIn("401", str(caught.exception))

    def test_websocket(self):
        task = self.finished.task_id
        events = list(self.client.stream_ws(task, timeout=LIMIT))
        self.assertEqual(durable(events), durable(self.stream(task)))
        self.assertEqual(events[-1].type, "WORKFLOW_COMPLETED")
        rest = list(self.client.stream_ws(task, last_event_id=events[1].id))
        self.assertEqual(durable(rest), durable(events)[2:])
        some = list(self.client.stream_ws(task, types=[EventType.TOOL_INVOKED]))
        self.assertEqual({e.type for e in some}, {"TOOL_INVOKED"})


class Sessions(Base):
    def test_a_conversation(self):
        first = self.client.submit_task(QUESTION, session_id="s.1")
        self.wait(first)
        second = self.client.submit_task("And a pan?", session_id="s.1")
        self.wait(second)
        session = self.client.get_session("s.1")
        self.assertEqual((session.session_id, session.user_id, session.task_count),
                         ("s.1", "local", 2))
        self.assertGreater(session.total_tokens_used, 0)
        self.assertEqual(session.created_at, self.client.get_status(first.task_id).created_at)
        self.assertGreater(session.updated_at, session.created_at)
        history = self.client.get_session_history("s.1")
        self.assertEqual([h.task_id for h in history], [first.task_id, second.task_id])
        self.assertEqual(history[1].query, "And a pan?")
        self.assertIn("answer", history[0].result)
        self.assertEqual(sum(h.tokens_used for h in history), session.total_tokens_used)
        self.assertLess(history[0].completed_at, history[1].created_at)
        sessions, total = self.client.list_sessions(limit=100)
        self.assertEqual(len(sessions), total)
        self.assertEqual(sessions[0].session_id, "s.1")
        self.assertEqual((sessions[0].latest_task_query, sessions[0].latest_task_status),
                         ("And a pan?", "TASK_STATUS_COMPLETED"))
        self.assertEqual((sessions[0].message_count, sessions[0].successful_tasks), (2, 2))
        self.assertFalse(sessions[0].is_active)
        self.assertEqual(self.client.list_sessions(limit=1, offset=total), ([], total))

    def test_an_open_task_makes_a_session_active(self):
        handle = self.sleeper(session_id="busy")
        sessions, _ = self.client.list_sessions(limit=100)
        self.assertTrue(next(s for s in sessions if s.session_id == "busy").is_active)
        handle.cancel()

    def test_a_task_without_a_session_begins_one(self):
        handle = self.client.submit_task(QUESTION)
        self.wait(handle)
        follow = self.client.submit_task("And then?", session_id=handle.session_id)
        self.wait(follow)
        self.assertEqual([h.task_id for h in self.client.get_session_history(handle.session_id)],
                         [handle.task_id, follow.task_id])

    def test_title_and_delete(self):
        handle = self.client.submit_task(QUESTION, session_id="titled")
        self.wait(handle)
        self.assertTrue(self.client.update_session_title("titled", "On kettles"))
        self.assertEqual(self.client.get_session("titled").title, "On kettles")
        self.assertIn("On kettles", [s.title for s in self.client.list_sessions(limit=100)[0]])
        for wrong in ("", "   ", "x" * 61):
            with self.assertRaises(errors.ValidationError):
                self.client.update_session_title("titled", wrong)
        self.client.update_session_title("titled", "é" * 60)
        self.assertTrue(self.client.delete_session("titled"))
        with self.assertRaises(errors.SessionNotFoundError):
            self.client.get_session("titled")
        self.assertEqual(self.client.get_status(handle.task_id).status, TaskStatusEnum.COMPLETED)

    def test_unknown_sessions(self):
        for call in (lambda: self.client.get_session("nope"),
                     lambda: self.client.get_session_history("nope"),
                     lambda: self.client.update_session_title("nope", "t"),
                     lambda: self.client.delete_session("nope")):
            with self.assertRaises(errors.SessionNotFoundError):
                call()


class Errors(Base):
    def test_wrong_keys(self):
        for given in ({"api_key": "wrong"}, {"bearer_token": "wrong"}, {}):
            with ShannonClient(base_url=self.url, **given) as client:
                self.assertEqual(client.health()["status"], "healthy")
                for call in (client.list_tasks, lambda c=client: c.submit_task("q")):
                    with self.assertRaises(errors.AuthenticationError) as caught:
                        call()
                    self.assertEqual(caught.exception.code, "401")

    def test_bearer_token(self):
        with ShannonClient(base_url=self.url, bearer_token=self.key) as client:
            self.assertEqual(client.get_status(self.finished.task_id).query, QUESTION)
            self.assertEqual(self.stream(self.finished.task_id, client)[-1].type, "done")

    def test_unknown_tasks(self):
        for call in (self.client.get_status, self.client.get_task_events,
                     self.client.get_task_timeline, self.client.get_control_state,
                     self.client.cancel, self.client.pause_task, self.client.resume_task):
            with self.assertRaises(errors.TaskNotFoundError) as caught:
                call("wf-nope")
            self.assertIn("wf-nope", caught.exception.message)

    def test_wrong_queries(self):
        """Past the client's own check, which has the same limits."""
        for query, status in (("", 400), ("  ", 400), ("x" * 10001, 400), ("é" * 10000, 200)):
            reply = httpx.post(self.url + "/api/v1/tasks", json={"query": query},
                               headers={"X-API-Key": self.key}, timeout=LIMIT)
            self.assertEqual(reply.status_code, status, reply.text)
            if status == 400:
                self.assertRaises(errors.ValidationError,
                                  self.client._async_client._handle_http_error, reply)
        with self.assertRaises(errors.ValidationError):
            self.client.submit_task("q", session_id="no blanks")
        for limit in (0, 101):
            with self.assertRaises(errors.ValidationError):
                self.client.list_tasks(limit=limit)
            with self.assertRaises(errors.ValidationError):
                self.client.list_sessions(limit=limit)

    def test_what_is_not_offered_ends_in_the_clients_own_error(self):
        c, task = self.client, self.finished.task_id
        for call in (c.list_agents, lambda: c.get_agent("a"), lambda: c.execute_agent("a", {}),
                     c.list_openai_models, lambda: c.get_openai_model("m"),
                     lambda: c.create_chat_completion([{"role": "user", "content": "q"}]),
                     c.list_skills, lambda: c.get_skill("s"),
                     lambda: c.get_review_state(task), lambda: c.approve_review(task),
                     lambda: c.get_session_events("talk:1"),
                     lambda: c.list_session_files("talk:1"), c.list_memory_files,
                     lambda: c.execute_tool("calculator", arguments={"expression": "1"}),
                     lambda: c.send_swarm_message(task, "hi")):
            with self.assertRaises(errors.ShannonError) as caught:
                call()
            self.assertEqual(caught.exception.code, "404", caught.exception)

    def test_an_unknown_approval(self):
        with self.assertRaises(errors.ShannonError):
            self.client.approve("no-such", self.finished.task_id)

    def test_no_server(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with ShannonClient(base_url=url, api_key="k") as client:
            self.assertRaises(errors.ConnectionError, client.list_tasks)


class Schedules(Base):
    def test_the_life_of_a_schedule(self):
        c = self.client
        made = c.create_schedule("weekly", "30 9 * * 1-5", "What is new?", timezone="Europe/Berlin",
                                 description="for breakfast", task_context={"tone": "dry"},
                                 max_budget_per_run_usd=0.5, timeout_seconds=60)
        schedule = made["schedule_id"]
        got = c.get_schedule(schedule)
        self.assertEqual((got.name, got.cron_expression, got.task_query, got.timezone, got.status),
                         ("weekly", "30 9 * * 1-5", "What is new?", "Europe/Berlin", "ACTIVE"))
        self.assertEqual((got.description, got.task_context, got.max_budget_per_run_usd,
                          got.timeout_seconds), ("for breakfast", {"tone": "dry"}, 0.5, 60))
        self.assertGreater(got.next_run_at, got.created_at)
        c.update_schedule(schedule, name="daily", cron_expression="0 7 * * *",
                          clear_task_context=True)
        listed, total = c.list_schedules()
        self.assertEqual(total, len(listed))
        row = next(s for s in listed if s.schedule_id == schedule)
        self.assertEqual((row.name, row.cron_expression, row.total_runs),
                         ("daily", "0 7 * * *", 0))
        self.assertFalse(c.get_schedule(schedule).task_context)
        c.pause_schedule(schedule, "holidays")
        paused = c.get_schedule(schedule)
        self.assertEqual((paused.status, paused.pause_reason), ("PAUSED", "holidays"))
        c.resume_schedule(schedule)
        self.assertEqual(c.get_schedule(schedule).status, "ACTIVE")
        self.assertEqual(c.get_schedule_runs(schedule), ([], 0))
        c.delete_schedule(schedule)
        with self.assertRaises(errors.ShannonError):
            c.get_schedule(schedule)
        self.assertNotIn(schedule, [s.schedule_id for s in c.list_schedules()[0]])

    def test_a_run_is_told_with_its_result(self):
        c = self.client
        schedule = c.create_schedule("now", "0 7 * * *", QUESTION)["schedule_id"]
        self.addCleanup(c.delete_schedule, schedule)
        status, body, _ = self.server.request("POST", f"/api/v1/schedules/{schedule}/run")
        self.assertEqual(status, 200, body)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            runs, total = c.get_schedule_runs(schedule)
            if runs and runs[0].completed_at:
                break
            time.sleep(0.1)
        self.assertEqual((total, len(runs)), (1, 1))
        self.assertEqual((runs[0].query, runs[0].status), (QUESTION, "TASK_STATUS_COMPLETED"))
        self.assertIn("answer", runs[0].result)
        self.assertGreater(runs[0].total_tokens, 0)
        self.assertEqual(c.get_schedule(schedule).successful_runs, 1)

    def test_bad_ones_are_refused(self):
        for cron, zone in (("* * * *", None), ("61 * * * *", None), ("0 7 * * *", "Mars/Base")):
            with self.assertRaises(errors.ValidationError):
                self.client.create_schedule("bad", cron, "q", timezone=zone)


class Service(Base):
    def test_health_tools_and_openapi(self):
        self.assertEqual(self.client.health(), {"status": "healthy"})
        self.assertEqual(self.client.readiness(), {"status": "ready"})
        names = [t.name for t in self.client.list_tools()]
        self.assertIn("llm", names)
        tool = self.client.get_tool("calculator")
        self.assertEqual((tool.name, tool.parameters["type"]), ("calculator", "object"))
        self.assertIn("/api/v1/tasks", self.client.get_openapi_spec()["paths"])

    def test_the_openapi_document_is_valid(self):
        openapi_spec_validator.validate(self.client.get_openapi_spec())

    def test_answers_are_as_the_document_says(self):
        spec = self.client.get_openapi_spec()
        task = self.finished.task_id
        schedule = self.client.create_schedule("documented", "0 9 * * 1", "q")["schedule_id"]
        self.addCleanup(self.client.delete_schedule, schedule)
        values = {"/api/v1/tasks/{id}": task, "/api/v1/sessions/{id}": "talk:1",
                  "/api/v1/schedules/{id}": schedule}
        checked = 0
        for path, item in spec["paths"].items():
            answer = item.get("get", {}).get("responses", {}).get("200", {})
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            if not schema:
                continue
            if "{name}" in path:  # a thing inside another: its own tests have one
                continue
            stem = path.split("{id}")[0] + "{id}"
            real = path.replace("{id}", values.get(stem, ""))
            status, body, _ = self.server.request("GET", real)
            self.assertEqual(status, 200, real)
            self.check(spec, schema, body)
            checked += 1
        self.assertGreaterEqual(checked, 17)

    def test_changes_answer_as_the_document_says(self):
        spec, handle = self.client.get_openapi_spec(), self.sleeper(session_id="changed")
        task = f"/api/v1/tasks/{handle.task_id}"
        for method, path, template, body in (
                ("POST", "/api/v1/tasks", None, {"query": QUESTION}),
                ("POST", "/api/v1/tasks/stream", None, {"query": QUESTION}),
                ("POST", task + "/pause", "/api/v1/tasks/{id}/pause", {"reason": "r"}),
                ("POST", task + "/resume", "/api/v1/tasks/{id}/resume", {}),
                ("POST", task + "/cancel", "/api/v1/tasks/{id}/cancel", {}),
                ("POST", f"/api/v1/tasks/{self.finished.task_id}/verify",
                 "/api/v1/tasks/{id}/verify", {}),
                ("PATCH", "/api/v1/sessions/changed", "/api/v1/sessions/{id}", {"title": "t"}),
                ("DELETE", "/api/v1/sessions/changed", "/api/v1/sessions/{id}", None)):
            status, answer, _ = self.server.request(method, path, body)
            responses = spec["paths"][template or path][method.lower()]["responses"]
            self.assertIn(str(status), responses, (path, answer))
            content = responses[str(status)].get("content")
            if content:
                self.check(spec, content["application/json"]["schema"], answer)
            else:
                self.assertIsNone(answer)

    def check(self, spec, schema, body):
        jsonschema.Draft202012Validator(
            {**schema, "components": spec["components"]},
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(body)


class Asynchronous(Base):
    def test_many_at_once(self):
        async def one(client, number):
            handle = await client.submit_task(f"Question {number}", session_id="many")
            events = [e async for e in client.stream(handle.workflow_id, total_timeout=LIMIT)]
            status = await client.get_status(handle.task_id)
            return handle.task_id, events[-1].type, status.status, status.query

        async def all_of_them():
            async with AsyncShannonClient(base_url=self.url, api_key=self.key) as client:
                done = await asyncio.gather(*(one(client, n) for n in range(8)))
                tasks, total = await client.list_tasks(session_id="many")
                sessions, _ = await client.list_sessions(limit=100)
                with self.assertRaises(errors.TaskNotFoundError):
                    await client.get_status("wf-nope")
            return done, tasks, total, sessions

        loop = asyncio.new_event_loop()
        done, tasks, total, sessions = loop.run_until_complete(all_of_them())
        loop.close()
        self.assertEqual({d[1] for d in done}, {"done"})
        self.assertEqual({d[2] for d in done}, {TaskStatusEnum.COMPLETED})
        self.assertEqual([d[3] for d in done], [f"Question {n}" for n in range(8)])
        self.assertEqual((len(tasks), total), (8, 8))
        many = next(s for s in sessions if s.session_id == "many")
        self.assertEqual(many.message_count, 8)


if __name__ == "__main__":
    unittest.main(verbosity=2)

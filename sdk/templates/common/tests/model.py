"""A language model that says what a test told it to, at http://127.0.0.1:PORT/v1. Standard library
only; nothing leaves this machine."""

import http.server
import json
import threading


class Model:
    """answers: for each question one text, or a number: that HTTP status."""

    def __init__(self, *answers):
        self.answers, self.questions = list(answers), []
        model = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.questions.append(request["messages"][-1]["content"])
                answer = model.answers.pop(0) if model.answers else 500
                if isinstance(answer, int):
                    status, reply = answer, {"error": {"message": "as the test wants it"}}
                else:
                    message = {"role": "assistant", "content": answer}
                    status, reply = 200, {
                        "model": "scripted",
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
                text = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self):
        """What makes Shannon ask this model."""
        return {"SHANNON_LLM_BASE_URL": f"http://127.0.0.1:{self.server.server_port}/v1",
                "SHANNON_LLM_MODEL": "scripted", "SHANNON_LLM_PROVIDER": "openai"}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

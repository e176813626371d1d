"""Answers a question in one sentence."""
import shannon

shannon.progress("asking the model")
answer = shannon.llm("Answer in one sentence: " + shannon.query())
shannon.output({"answer": answer})

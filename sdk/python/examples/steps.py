"""The agent that every SDK has an example of: a few steps, two of them side by side."""
import shannon

query = shannon.query()
shannon.progress("begin")
value = shannon.call("calculator", expression="6*7")["value"]
asked = [shannon.start("llm", messages=[{"role": "user", "content": f"{who}: {query}"}])
         for who in ("one", "two")]
texts = [answer["content"] for answer in shannon.wait_all(asked)]
shannon.kv.put("last", texts)
shannon.sleep(0.02)
shannon.output({"answer": " / ".join(texts), "value": value})

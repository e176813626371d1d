"""What a model and the web would answer to each shipped agent, for scripted_llm.py and
scripted_web.py. Each answer depends on the question alone, so that a question which is asked again
after a crash gets the same."""

QUESTION = "Why is the sky blue?"

SCRIPTS = {
    "chain_of_thought": {"rules": [
        {"match": "List 2 or 3 short steps", "content": "1. Light is scattered\n2. Blue most of all"},
        {"match": "In one or two sentences: Light", "content": "Air scatters light."},
        {"match": "In one or two sentences: Blue", "content": "Short waves scatter more."},
        {"match": "Using the notes", "content": "Scattering. Confidence: 90%"}]},
    "tree_of_thoughts": {"rules": [
        {"match": "Answer the question.", "content": "Rayleigh scattering."},
        {"match": "It is painted.\n\nHow likely", "content": "Score: 1/10"},
        {"match": "How likely", "content": '{"score": 9}'},
        {"match": "Begin with a doubt", "content": "It is painted."},
        {"match": "next thought", "content": "The air scatters light."}]},
    "react": {"rules": [
        {"match": "So far", "content": 'Done. {"thought": "I know", "answer": "It is 42.", '
                                       '"confidence": 0.95}'},
        {"match": "Tools:", "content": '```json\n{"thought": "compute", "tool": "calculator", '
                                       '"input": "6*7"}\n```'}]},
    "research": {"rules": [
        {"match": "List 3 short web search queries", "content": '["sky color", "blue light"]'},
        {"match": "Is anything missing", "content": "1. sunset red\n"},
        {"match": "Write a short report", "content": "Short waves are scattered most [1]. Sunsets are "
                                                     "red [4, 9] for the same reason [12]. Confidence: "
                                                     "85%"},
        {"match": "wavelength to the fourth", "content": "Scattering grows with the fourth power."},
        {"match": "long way through the air", "content": "At sunset blue is scattered away."},
        {"match": "<page>", "content": "NOTHING"}]},
    "debate": {"rules": [
        {"match": "You are the judge", "content": '{"answer": "Scattering it is.", "winner": '
                                                  '"the proponent", "confidence": 0.8}'},
        {"match": "You are the proponent", "content": "Scattering explains it."},
        {"match": "You are the opponent", "content": "The sea might be mirrored."},
        {"match": "You are the sceptic", "content": "Is it blue at all?"}]},
    "reflection": {"rules": [
        {"match": "Answer this question well", "content": "Because of scattering."},
        {"match": "Write the improved", "content": "Rayleigh scattering favours short waves."},
        {"match": "answer:\nBecause of scattering.\n\nCriticise",
         "content": '```json\n{"score": 5, "problems": ["too short"]}\n```'},
        {"match": "Criticise", "content": '{"score": 9, "problems": []}'}]},
}
AGENTS = tuple(SCRIPTS)  # those in C; the one in Python reads a file instead of asking much
SCRIPTS["python_analyst"] = {"rules": [
    {"match": "Which chart", "content": '{"x": "month", "y": "revenue", "total": "sum", "chart": "line"}'},
    {"match": "Facts:", "content": "Revenue rose until March."}]}

CSV = "month,region,revenue\nJan,north,10\nJan,south,20\nFeb,north,35\nMar,south,\"1,040.5\"\nApr,,x\n"

HTML = {"Content-Type": "text/html; charset=utf-8"}


def hits(*paths):
    """What a SearXNG server answers."""
    return {"json": {"query": "q", "number_of_results": len(paths), "results": [
        {"url": "http://127.0.0.1:${PORT}" + path, "title": f"Page {path}",
         "content": f"A snippet of {path}", "engine": "test"} for path in paths]}}


WEB = {
    "/robots.txt": {"body": "User-agent: *\nDisallow: /private"},
    "/search": {"by_query": {"q=sky": hits("/rayleigh", "/gone"), "q=blue": hits("/rayleigh", "/private"),
                             "q=sunset": hits("/gone", "/sunset")},
                "json": {"results": []}},
    "/rayleigh": {"headers": HTML, "body": "<title>Rayleigh</title><p>Inverse to the wavelength to the "
                                           "fourth power."},
    "/sunset": {"headers": HTML, "body": "<title>Sunset</title><p>A long way through the air."},
    "/private": {"headers": HTML, "body": "<p>nobody may read this"},
}

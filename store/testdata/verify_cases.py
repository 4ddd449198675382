"""Reads cases, one JSON object a line, and answers for each what verify_audit.py says: "ok: ..." or "no: ..."."""
import functools, importlib.util, json, sys

spec = importlib.util.spec_from_file_location("verify_audit", sys.argv[1])
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
verify.signed = functools.lru_cache(None)(verify.signed)  # the same signature is checked once
for text in sys.stdin:
    case = json.loads(text)
    keys, witnesses = [[verify.read_key(k) for k in case[w] or []] for w in ("keys", "witnesses")]
    try:
        if case["proof"]:
            print("ok:", verify.check_proof(case["proof"], keys, witnesses))
        else:
            print("ok:", verify.check_export(case["lines"], case["notes"], keys, witnesses, case["part"]))
    except (verify.Wrong, ValueError, KeyError, TypeError, IndexError) as e:
        print("no:", str(e).replace("\n", " "))

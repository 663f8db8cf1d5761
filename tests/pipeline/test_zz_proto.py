from collections import Counter
def show(tag, night):
    print("=====",tag, night.result.success, night.result.is_transient, night.result.failed_partners, night.result.message)
    for p,s in night.after.items():
        print(p, sorted(Counter((v["use_case"],v["status"],v["rung"],v["model_version"],v["insight_version"]) for v in s.versions.values()).items()), s.landed, len(s.messages), s.publications, s.checked)
    print({k:sorted(v) for k,v in night.materialized.items()})
def test_it(first, second, refused, tomorrow, healed, promoted, past, installation):
    show("first", first)
    for e in first.result.steps:
        if e.partner=="newcomer": print(e)
    for i in first.after["newcomer"].current.values(): print(i)
    show("second", second)
    show("refused", refused.night); print(refused.versions)
    show("tomorrow", tomorrow); show("healed", healed)
    show("promoted", promoted.night); print(promoted.versions)
    show("past", past)

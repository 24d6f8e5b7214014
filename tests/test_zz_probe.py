import json, resource
from tests.test_contract_faults import *
from pytest_prodcheck.live.openapi import _spec_from_bytes
A={"$ref":"#/components/schemas/A"}
def deep(n):
    s={"type":"integer"}
    for _ in range(n): s={"type":"object","properties":{"a":s},"required":["a"]}
    return s
def aliases(n, end):
    c={f"D{i}":{"$ref":f"#/components/schemas/D{i+1}"} for i in range(n)}; c[f"D{n}"]=end
    return c
def nested(n):
    c={f"N{i}":{"type":"object","required":["a"],"properties":{"a":{"$ref":f"#/components/schemas/N{i+1}"}}} for i in range(n)}; c[f"N{n}"]={"type":"integer"}
    return c
def test_cyc(project):
    def content(x): return {"responses":{"200":{"description":"d","content":{"application/json":{"schema":x}}}}}
    B=lambda x: {"requestBody":{"required":True,"content":{"application/json":{"schema":x}}},"responses":{"200":{"description":"d"}}}
    schemas={
     "A":{"type":"object","properties":{"a":A},"required":["a"]},
     "Tree":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/components/schemas/Tree"}}}},
     "Self":{"$ref":"#/components/schemas/Self"},
     "P":{"$ref":"#/components/schemas/Q"},"Q":{"$ref":"#/components/schemas/P"},
     "All":{"allOf":[{"$ref":"#/components/schemas/All"}]},
     **nested(1000), **aliases(1000,{"type":"integer"}),
    }
    paths={}
    for n in ["A","Tree","Self","P","All","N0","N600","D0","D600"]:
        r={"$ref":"#/components/schemas/"+n}
        paths["/asked/"+n]={"get":takes(r)}
        paths["/answered/"+n]={"get":content(r)}
        paths["/body/"+n]={"post":B(r)}
    paths["/deep"]={"get":content(deep(60))}
    serve(project, document(paths,components={"schemas":schemas}), read_only="false", contract="time_per_operation = 3",timeout="1")
    def b(v):
        m={"asked":"GET","answered":"GET","deep":"GET","body":"POST"}.get(v.request.path.split("/")[1])
        (FINE if m==v.request.method else json_answer({},405,allow=m or ""))(v)
    project.server.on("*", b)
    t=time.time()
    o=check(project); print(o.output[-3000:])
    print(time.time()-t)
    for c in o.verdict["checks"]: print(c["id"][-40:], c["outcome"], round(c["duration_s"],2), c["message"][:300])
    assert 0
def test_deep_json(project):
    for n in (95, 150, 400,1000):
        serve(project, answer(json.dumps(document({"/x":{"get":takes(deep(n))},"/y":{"get":operation()}}))))
        t=time.time()
        o=check(project); print(n, time.time()-t, o.ruling, o.output[-700:])
    assert 0
def test_yaml(project):
    head=b"openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {/x: {get: {responses: {200: {description: d}}}}}\n"
    bomb=b"a: &a [x,x,x,x,x,x,x,x,x]\n"+b"".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n"%((98+i,98+i)+(97+i,)*9) for i in range(9))
    anchors=b"x-a:\n"+b"".join(b"- &a%d 1\n"%i for i in range(1_000_000))
    anchors2=b"x-a:\n"+b"".join(b"- &a%d 1\n"%i for i in range(140_000))
    flow=b"x-a: ["+b"1,"*1_000_000+b"]\n"
    flow2=b"x-a: ["+b"[],"*600_000+b"]\n"
    keys=b"x-a:\n"+b"".join(b" k%d: {}\n"%i for i in range(170_000))
    tags=b"x-a: !!python/object/apply:os.system ['touch pwned']\n"
    alias=b"x-a: &a {b: *a}\n"
    merge=b"x-a: &a {b: 1}\nx-b:\n  <<: *a\n"
    for n,c in dict(head=b"",bomb=bomb,anchors=anchors,anchors2=anchors2,flow=flow,flow2=flow2,keys=keys,tags=tags,alias=alias,merge=merge, nullkey=b"null: 1\n",boolkey=b"true: 1\n", nan=b"x: .nan\n",date=b"x: 2020-01-01\n", datekey=b"2020-01-01: 1\n", floatkey=b"1.5: 1\n", nankey=b".nan: 1\n",listkey=b"? [a]\n: 1\n",binary=b"x: !!binary aGk=\n",set=b"x: !!set {a, b}\n", omap=b"x: !!omap [a: 1]\n", pairs=b"x: !!pairs [a: 1]\n",surr=b'x: "\\ud800"\n', bigint=b"x: "+b"9"*5000+b"\n", long=b"x: 0x"+b"f"*100000+b"\n", sexa=b"x: "+b"1"+b":59"*200000+b"\n").items():
        t=time.time(); r=_spec_from_bytes(head+c,"/o"); r=r if isinstance(r,str) else type(r); print(n, len(c), round(time.time()-t,2), str(r)[:200], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024)
        if len(c)>9999: continue
        serve(project, answer(head+c)); o=check(project); print("   ", o.ruling, o.output.splitlines()[-6:] if o.exit else "")
    assert 0

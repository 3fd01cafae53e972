"""Scripts that have brought parsers, compilers or interpreters down, each by its file name."""

from __future__ import annotations

DEEP = 20_000
LONG = 300_000

PYTHON: dict[str, str | bytes] = {
    "brackets": "(" * DEEP,
    "closed-brackets": "x = " + "(" * 190 + ")" * 190,
    "lists": "x = " + "[" * 90 + "]" * 90,
    "minuses": "x = " + "-" * DEEP + "1",
    "nots": "x = " + "not " * DEEP + "1",
    "powers": "x = " + "1**" * DEEP + "1",
    "sums": "x = " + "1+" * LONG + "1",
    "attributes": "x = a" + ".a" * DEEP,
    "calls": "x = a" + "()" * DEEP,
    "lambdas": "x = " + "lambda: " * DEEP + "1",
    "ifs": "x = " + "1 if 1 else " * DEEP + "1",
    "elifs": "if 1: pass\n" + "elif 1: pass\n" * DEEP,
    "blocks": "".join(" " * depth + "if 1:\n" for depth in range(99)) + " " * 99 + "pass\n",
    "too-many-blocks": "".join(" " * depth + "if 1:\n" for depth in range(200)),
    "functions": "".join(" " * depth + "def f():\n" for depth in range(90)) + " " * 90 + "pass\n",
    "texts": "x = " + "'a' " * LONG,
    "long-text": "x = '" + "a" * 2_000_000 + "'",
    "f-strings": "x = " + "f'{" * 200,
    "assignments": "x = " * DEEP + "1",
    "digits": "x = " + "9" * 10_000,
    "hex": "x = 0x" + "f" * LONG,
    "fold-power": "x = 10 ** 10 ** 10 ** 10\n",
    "fold-repeat": "x = ((((1,) * 99) * 99) * 99) * 99999\n",
    "statements": "x = 1\n" * LONG,
    "lines": "\n" * LONG + "x",
    "backslash": "x = \\",
    "matches": "match 1:\n case " + "(" * 150 + "1" + ")" * 150 + ": pass\n",
    "nul": "x = 1\0\n",
    "bom": b"\xef\xbb\xbfx = 1\n",
    "two-boms": b"\xef\xbb\xbf\xef\xbb\xbfx = 1\n",
    "bom-latin": b"\xef\xbb\xbf# coding: latin-1\nx = 1\n",
    "utf-16": "x = 1\n".encode("utf-16"),
    "binary": bytes(range(256)),
    **{
        f"coding-{name}": f"# coding: {name}\nx = 1\n"
        for name in (
            "latin-1",
            "utf-7",
            "utf-16",
            "rot13",
            "zlib",
            "hex",
            "idna",
            "punycode",
            "undefined",
            "mbcs",
            "../x",
        )
    },
    "coding-utf-7-shift": b"# coding: utf-7\nx = '+AAo-'\n+AGkAbQ-port os\n",
    "coding-unicode-escape": b"# coding: unicode_escape\nx = 1\\u000ay = 1\\\n",
    "coding-long": b"# coding: " + b"x" * LONG + b"\n",
    "form-feed": "\f\v x = 1\n",
    "returns": "x = 1\rif x:\r  y = 2\r",
    "surrogate": b"x = '\xed\xa0\x80'\n",
    "names": "\u212a\u0130 = \u00e9 = e\u0301 = 1\n",
    "direction": "x = '\u202e\u2066'\n",
    "recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()\n",
    "plain-recursion": "def f(): f()\nf()\n",
    "repr": "x = []\nfor _ in range(100_000): x = [x]\nrepr(x)\n",
    "exit": "raise SystemExit(0)\n",
    "os-exit": "import os\nos._exit(0)\n",
    "kill": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "interrupt": "raise KeyboardInterrupt\n",
    "base": "raise BaseException('\\ud800')\n",
    "hangs": "while True: pass\n",
    "hangs-natively": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')\n",
    "memory": "x = [0] * 10**11\n",
    "itself": "import _itself\n",
    "cycle": "import _cycle_a\n",
    "star": "from _star import *\nfrom _star import *\n",
    "dots": "from " + "." * 5000 + " import x\n",
    "long-import": "import _" + "a." * DEEP + "a\n",
    "bad-error": "class E(Exception):\n  def __str__(self): raise self\nraise E\n",
    "bad-name": "class E(Exception):\n  pass\nE.__name__ = '\\ud800'\nE.__qualname__ = '\\ud800'\nraise E\n",
    "bad-where": "from trimtab import handler\n@handler(where='(' * 99999)\ndef f(e, c): pass\n",
    "bad-timeout": "from trimtab import handler\n@handler(timeout='9' * 9999 + 's')\ndef f(e, c): pass\n",
    "bad-annotation": "from trimtab import handler\n@handler\ndef f(e: 'list[' * 9999, c): pass\n",
    "bad-handler-name": "from trimtab import handler\ndef f(e, c): pass\nf.__name__ = '\\ud800'\nf = handler(f)\n",
    "shadows": "__builtins__ = __file__ = __name__ = handle = open = close = None\n",
    "deletes": "del __builtins__, __file__, __name__\n",
}
"""By name, without the ending."""

PYTHON_LIBRARIES: dict[str, str | bytes] = {
    "_itself.py": "import _itself\nfrom _itself import nothing\n",
    "_cycle_a.py": "import _cycle_b\n",
    "_cycle_b.py": "import _cycle_a\nfrom _cycle_a import _cycle_b\n",
    "_star.py": "from _star import *\n__all__ = ['x', 1, None]\n",
}

JAVASCRIPT: dict[str, str | bytes] = {
    "brackets": "(" * DEEP,
    "arrays": "const x = " + "[" * DEEP + "]" * DEEP,
    "objects": "const x = " + "{a:" * DEEP + "1" + "}" * DEEP,
    "nots": "const x = " + "!" * DEEP + "1",
    "powers": "const x = " + "2**" * DEEP + "1",
    "sums": "const x = " + "1+" * LONG + "1",
    "templates": "const x = " + "`${" * DEEP,
    "arrows": "const x = " + "a=>" * DEEP + "1",
    "news": "const x = " + "new " * DEEP + "A",
    "ternaries": "const x = " + "1?" * DEEP,
    "else": "if(0);" + "else if(0);" * DEEP,
    "blocks": "{" * DEEP + "}" * DEEP,
    "labels": "".join(f"a{n}:" for n in range(DEEP)) + ";",
    "members": "const x = a" + ".a" * DEEP,
    "optional": "const x = a" + "?.a" * DEEP,
    "functions": "function f(){" * 5000 + "}" * 5000,
    "classes": "class A{static{" * 2000 + "}}" * 2000,
    "regex-brackets": "const x = /" + "(" * DEEP + ")" * DEEP + "/;",
    "regex-counts": "const x = /" + "a{1000}" * 20 + "(" * 3 + "a" + "){9999}" * 3 + "/;",
    "regex-hangs": "/^(a+)+$/.test('a'.repeat(60) + 'b');",
    "destructuring": "const " + "[" * 5000 + "a" + "]" * 5000 + " = 1;",
    "digits": "const x = " + "9" * LONG + "n;",
    "bigint": "let x = 3n; for (;;) x = x ** 3n;",
    "long-text": "const x = '" + "a" * 2_000_000 + "';",
    "statements": ";" * LONG,
    "parameters": "function f(" + ",".join(f"a{n}" for n in range(70_000)) + "){}",
    "arguments": "Math.max(" + ",".join("1" * 70_000) + ");",
    "variables": "let " + ",".join(f"a{n}" for n in range(70_000)) + ";",
    "nul": "const x = 1;\0",
    "bom": b"\xef\xbb\xbfconst x = 1;\n",
    "utf-16": "const x = 1;\n".encode("utf-16"),
    "binary": bytes(range(256)),
    "surrogate": "const x = '\\ud800';",
    "separators": "const x = 1;\u2028const y = 2;\u2029<!-- \n--> \n#!",
    "shebang": "#!/bin/sh\n",
    "recursion": "function f() { return f(); } f();",
    "getter": "const e = new Error('x'); Object.defineProperty(e, 'stack', { get() { throw e; } }); throw e;",
    "throws-null": "throw null;",
    "throws-proxy": "throw new Proxy({}, { get() { throw this; }, has() { throw 1; }, getPrototypeOf() { for (;;); } });",
    "throws-symbol": "throw Symbol('x');",
    "throws-deep": "let x = []; for (let i = 0; i < 1e5; i++) x = [x]; throw x;",
    "hangs": "for (;;);",
    "hangs-async": "export const x = await new Promise(() => {});",
    "hangs-jobs": "const f = () => Promise.resolve().then(f); f();",
    "sort": "[...Array(1e5).keys()].sort(() => { for (;;); });",
    "memory": "const x = []; for (;;) x.push('a'.repeat(1 << 20));",
    "repeat": "const x = 'a'.repeat(2 ** 29).replace(/a/g, 'aa');",
    "array-length": "const x = new Array(2 ** 32 - 1).fill(1).join();",
    "buffer": "new ArrayBuffer(2 ** 40);",
    "toString": "Object.prototype.toString = Array.prototype.map = JSON.stringify = () => { throw 1; };",
    "prototypes": "Object.prototype.then = 1; Object.prototype.get = () => 2; Array.prototype[0] = 3;",
    "freezes": "Object.freeze(Object.prototype); Object.freeze(Array.prototype); Object.freeze(globalThis);",
    "globals": "for (const name of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[name]; } catch (e) {}",
    "itself": "import './_itself.js';",
    "cycle": "import { a } from './_cycle_a.js'; export const b = a;",
    "star": "export * from './_star.js'; import * as x from './_star.js'; x.a.b;",
    "require-cycle": "module.exports = require('./_required.cjs').x.y;",
    "dynamic": "import('./_itself' + '.js'); import('nowhere'); eval('import(\"x\")');",
    "deep-eval": "let s = '1'; for (let i = 0; i < 5000; i++) s = `eval(${JSON.stringify(s).slice(0, 1e4)})`; eval(s);",
    "json": "JSON.parse('['.repeat(1e6));",
    "bad-where": "export const where = '('.repeat(1e5); export const handle = () => {};",
    "bad-source": "export const source = { toString() { for (;;); } }; export const handle = () => {};",
    "bad-timeout": "export const timeout = '9'.repeat(1e4) + 's'; export const handle = () => {};",
    "bad-handle": "export const handle = class { static get name() { throw 1; } };",
}
"""By name, without the ending. Read as JavaScript; some of them as TypeScript too."""

JAVASCRIPT_LIBRARIES: dict[str, str | bytes] = {
    "_itself.js": "import './_itself.js'; import * as me from './_itself.js'; export default me;",
    "_cycle_a.js": "import { b } from './_cycle_b.js'; export const a = b;",
    "_cycle_b.js": "import { a } from './_cycle_a.js'; export const b = a;",
    "_star.js": "export * from './_star.js'; export * from './_cycle_a.js';",
    "_required.cjs": "module.exports = require('./_required.cjs');",
}

TYPESCRIPT: dict[str, str | bytes] = {
    "type": "type A = " + "[" * 5000 + "1" + "]" * 5000 + ";",
    "generics": "let a: A" + "<A" * 5000 + ">" * 5000 + ";",
    **{name: JAVASCRIPT[name] for name in ("brackets", "arrays", "sums", "nul", "binary", "templates")},
}

KILLERS = frozenset(
    {
        *("kill.py", "os-exit.py", "recursion.py", "statements.py", "hangs.py", "variables.js"),
    }
)
"""What ends its process, or keeps it busy in native code, where no time limit reaches it."""

SLOW = frozenset(
    {
        *("fold-power.py", "hangs-natively.py", "long-import.py", "regex-hangs.js", "bigint.js", "hangs-jobs.js"),
        *("throws-proxy.js", "sort.js", "array-length.js", "digits.js", "hangs.js"),
        *(f"{name}.ts" for name in TYPESCRIPT),
    }
)
"""What takes about a second, or more."""


def scripts() -> dict[str, bytes]:
    """Return every script by its file name."""
    return {
        f"{name}.{suffix}": _bytes(source)
        for suffix, sources in (("py", PYTHON), ("js", JAVASCRIPT), ("ts", TYPESCRIPT))
        for name, source in sources.items()
    }


def libraries() -> dict[str, bytes]:
    """Return what they import."""
    return {name: _bytes(source) for name, source in (PYTHON_LIBRARIES | JAVASCRIPT_LIBRARIES).items()}


def _bytes(source: str | bytes) -> bytes:
    return source.encode() if isinstance(source, str) else source

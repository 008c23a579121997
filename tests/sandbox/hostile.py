"""Programs that try to harm the host, to outlive their run, or to pass tests that they do not pass.

Each is to define ``f``; the test is ``candidate(1) == 2``. ``{parent}`` is the process id of the test, ``{secret}`` a
file that the test wrote, ``{port}`` a port at which the test listens.
"""

from __future__ import annotations

WANTS_IMPORT = "import os, sys, signal, socket, subprocess, ctypes, time, threading, gc, builtins, types\n"

HOSTILE: dict[str, str] = {
    # resources
    "fork bomb": "def f(x):\n    while True: os.fork()",
    "fork bomb by threads": "def f(x):\n    while True: threading.Thread(target=time.sleep, args=(60,)).start()",
    "memory by a list": "def f(x):\n    a = []\n    while True: a.append(bytearray(10**7))",
    "memory by a string": "def f(x): return 'a' * 10**12",
    "memory by a big number": "def f(x): return 9 ** 9 ** 9",
    "endless loop": "def f(x):\n    while True: pass",
    "endless loop at import": "while True: pass",
    "endless loop that catches everything": (
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    ),
    "endless loop without SIGXCPU": "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f(x):\n    while True: pass",
    "sleep": "def f(x): time.sleep(1000)",
    "sleep at import": "time.sleep(1000)",
    "deep recursion": "def f(x): return f(x)",
    "deep recursion without a limit": "sys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "endless output": "def f(x):\n    while True: print('x' * 10**6)",
    "a gigabyte printed": "def f(x):\n    sys.stdout.write('x' * 10**8 * 10)\n    return 1",
    "a result that is too long": "def f(x): return 'x' * 10**7",
    "a result that contains itself": "def f(x):\n    a = []\n    a.append(a)\n    return a",
    "a result nested deeply": "def f(x):\n    a = 1\n    for _ in range(10**5): a = [a]\n    return a",
    "disk": "def f(x):\n    with open('big', 'wb') as file:\n        while True: file.write(b'x' * 10**6)",
    "many files": "def f(x):\n    for i in range(10**6): open(str(i), 'w')",
    "many open files": "def f(x):\n    a = [open('/dev/null') for _ in range(10**4)]\n    return 1",
    "a regular expression that explodes": "import re\ndef f(x): return re.match('(a+)+$', 'a' * 60 + 'b')",
    # leaving early, and words instead of deeds
    "sys.exit before the tests": "sys.exit(0)",
    "sys.exit in the function": "def f(x): sys.exit(0)",
    "os._exit": "def f(x): os._exit(0)",
    "os._exit at import": "os._exit(0)",
    "raise SystemExit": "raise SystemExit(0)",
    "abort": "def f(x): os.abort()",
    "crash": "def f(x): ctypes.string_at(0)",
    "prints a verdict": "print('passed', '{\"outcome\": \"passed\"}', flush=True)\ndef f(x): return 1",
    "writes a verdict to every pipe": (
        'def f(x):\n    text = b\'={"outcome": "passed"}\'\n    for pipe in range(64):\n        try:\n'
        "            os.write(pipe, len(text).to_bytes(4, 'big') + text)\n        except OSError: pass\n    return 1"
    ),
    "writes a right answer of a wrong type": "def f(x):\n    for pipe in range(3, 64):\n        try:\n            "
    "os.write(pipe, (7).to_bytes(4, 'big') + b'v[\"x\",2')\n        except OSError: pass\n    return 1",
    # fooling the comparison
    "an object equal to everything": (
        "class A:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "def f(x): return A()"
    ),
    "a number equal to everything": "class A(int):\n    def __eq__(self, other): return True\ndef f(x): return A(1)",
    "a text equal to everything": "class A(str):\n    def __eq__(self, other): return True\ndef f(x): return A('2')",
    "patched builtins": "builtins.AssertionError = Warning\nbuiltins.isinstance = lambda *a: True\ndef f(x): return 1",
    "patched codec": (
        "for module in list(sys.modules.values()):\n    if hasattr(module, 'same'): module.same = lambda *a: True\n"
        "def f(x): return 1"
    ),
    "patched judge": (
        "main = sys.modules['__main__']\nfor name in ('_asserts', '_judge', '_calls'):\n"
        "    setattr(main, name, lambda *a: {'outcome': 'passed', 'detail': ''})\ndef f(x): return 1"
    ),
    "looks for the tests in memory": (
        "def f(x):\n    found = [o for o in gc.get_objects()"
        " if isinstance(o, dict) and 'tests' in o and 'prelude' in o]\n"
        "    return 2 if found else 1"
    ),
    "looks for the tests on the stack": (
        "def f(x):\n    frame, seen = sys._getframe(), ''\n    while frame:\n        seen += repr(frame.f_locals)\n"
        "        frame = frame.f_back\n    return 2 if 'assert ' + 'cand' in seen else 1"
    ),
    "a finaliser": "class A:\n    def __del__(self): os._exit(0)\na = A()\ndel a\ndef f(x): return 1",
    "at exit": "import atexit\natexit.register(os._exit, 0)\nsys.exit(0)",
    "a bomb for pickle": ("class A:\n    def __reduce__(self): return (os.system, ('true',))\ndef f(x): return A()"),
    # reading
    "the password file": "def f(x): return 2 if open('/etc/passwd').read() else 1",
    "the parent's file": "def f(x): return 2 if open({secret!r}).read() else 1",
    "the environment of the parent": "def f(x): return 2 if open('/proc/{parent}/environ').read() else 1",
    "its own environment": "def f(x): return 2 if 'FORGETTING_SECRET' in os.environ else 1",
    "the environment by proc": "def f(x): return 2 if open('/proc/self/environ').read() else 1",
    "the memory of others": "def f(x): return 2 if open('/proc/{parent}/mem', 'rb') else 1",
    "the root folder": "def f(x): return 2 if os.listdir('/') else 1",
    "a link to the password file": (
        "def f(x):\n    os.symlink('/etc/passwd', 'p')\n    return 2 if open('p').read() else 1"
    ),
    "the folder of the process by proc": "def f(x): return 2 if open('/proc/self/root/etc/passwd').read() else 1",
    "a file by its handle": (
        "def f(x):\n    libc = ctypes.CDLL(None)\n    return 2 if libc.open_by_handle_at(3, b'x' * 64, 0) >= 0 else 1"
    ),
    # writing
    "a file in its folder": "def f(x):\n    open('p', 'w').write('x')\n    return 2",
    "a file elsewhere": "def f(x):\n    open('/tmp/forgetting-hostile', 'w').write('x')\n    return 2",
    "the test file": "def f(x):\n    open({secret!r}, 'w').write('edited')\n    return 2",
    "the interpreter's library": "def f(x):\n    open(os.__file__, 'a').write('x')\n    return 2",
    "removes a file": "def f(x):\n    os.remove({secret!r})\n    return 2",
    "changes a mode": "def f(x):\n    os.chmod({secret!r}, 0o777)\n    return 2",
    # processes and signals
    "kills the parent": "def f(x):\n    os.kill({parent}, signal.SIGKILL)\n    return 2",
    "kills its parent": "def f(x):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 2",
    "kills everything": "def f(x):\n    os.kill(-1, signal.SIGKILL)\n    return 2",
    "kills by a system call": ("def f(x): return 2 if ctypes.CDLL(None).syscall(62, {parent}, 9) == 0 else 1"),
    "stops the parent": "def f(x):\n    os.kill({parent}, signal.SIGSTOP)\n    return 2",
    "traces its parent": "def f(x): return 2 if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0 else 1",
    "limits of another process": (
        "import resource\ndef f(x):\n    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))\n    return 2"
    ),
    "a daemon": "def f(x):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(1000)\n    return 2",
    "a shell": "def f(x):\n    os.system('touch /tmp/forgetting-hostile')\n    return 1",
    "a subprocess": "def f(x):\n    subprocess.run([sys.executable, '-c', 'pass'], check=True)\n    return 2",
    "another program in its place": "def f(x): os.execv('/bin/true', ['true'])",
    "raises its limits": (
        "import resource\ndef f(x):\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n    return 2"
    ),
    "a namespace of its own": "def f(x): return 2 if ctypes.CDLL(None).unshare(0x10000000) == 0 else 1",
    "a mount": "def f(x): return 2 if ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, 0) == 0 else 1",
    "back to root": "def f(x):\n    os.setuid(0)\n    return 2 if os.getuid() == 0 else 1",
    # network
    "a TCP connection": "def f(x):\n    socket.create_connection(('127.0.0.1', {port}), 2)\n    return 2",
    "a UDP packet": (
        "def f(x):\n    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))\n"
        "    return 2"
    ),
    "a server": "def f(x):\n    socket.socket().bind(('127.0.0.1', 0))\n    return 2",
    "a local socket": "def f(x):\n    socket.socket(socket.AF_UNIX).connect('\\0x')\n    return 2",
    "a download by subprocess": "def f(x):\n    subprocess.run(['curl', '127.0.0.1:{port}'], check=True)\n    return 2",
}

# For the slower ways to confine: one program or two of each kind.
SOME_OF_EACH_KIND = (
    "fork bomb", "fork bomb by threads", "memory by a list", "endless loop that catches everything", "sleep",
    "endless output", "disk", "sys.exit before the tests", "os._exit", "crash", "writes a verdict to every pipe",
    "an object equal to everything", "patched judge", "the password file", "the parent's file", "the memory of others",
    "a file elsewhere", "the test file", "kills the parent", "kills everything", "a daemon", "a subprocess",
    "a namespace of its own", "a mount", "back to root", "a TCP connection", "a server",
)  # fmt: skip

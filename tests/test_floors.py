"""What an import may bring along, and the house rules that a reader of the source can count on."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import latens

PACKAGE = Path(latens.__file__).parent
FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
HEAVY = {"torch", "sklearn", "scipy", "numpy", "pandas", "matplotlib", "pyarrow", "PIL", "rich", "cyclopts"}
LONGEST_FUNCTION, LONGEST_FILE = 60, 400


def run(script):
    """What ``script`` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_latens_is_light():
    script = "import sys, latens; dir(latens); latens.__version__; hasattr(latens, 'VEA'); print(*sys.modules)"
    loaded = {name.split(".")[0] for name in run(script).split()}
    assert "latens" in loaded
    assert not loaded & HEAVY


def test_a_histogram_takes_no_torch_and_draws_without_pyplot(tmp_path):
    script = f"""
import sys, latens
latens.Histogram().fit([[0.0], [1.0]]).save({str(tmp_path / "h")!r})
histogram = latens.load({str(tmp_path / "h")!r})
histogram.sample(3)
print("matplotlib" in sys.modules)
histogram.plot([[0.0]]).savefig({str(tmp_path / "a.png")!r})
print("matplotlib.pyplot" in sys.modules, "torch" in sys.modules)
"""
    assert run(script).split() == ["False", "False", "False"]


def test_the_lower_rooms_take_no_torch():
    script = """
import importlib, pathlib, sys, latens
package = pathlib.Path(latens.__file__).parent
for room in ("utils", "data", "density"):
    for path in sorted((package / room).rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        importlib.import_module(".".join(("latens", *parts)).removesuffix(".__init__"))
    print(room, "torch" in sys.modules)
"""
    assert run(script).splitlines() == ["utils False", "data False", "density False"]


def test_names_are_those_of_their_rooms():
    from latens.density import Histogram

    assert latens.Histogram is Histogram
    assert latens.__version__ == importlib.metadata.version("latens")
    assert latens.density.Histogram is Histogram
    assert {"VAE", "AutoEncoder", "Histogram", "load", "density", "utils"} <= set(dir(latens))


@pytest.mark.parametrize(("written", "meant"), [("VEA", "VAE"), ("Histogramm", "Histogram"), ("densty", "density")])
def test_a_misspelt_name_suggests_the_nearest(written, meant):
    with pytest.raises(AttributeError, match=f"no attribute '{written}'. Did you mean '{meant}'?"):
        getattr(latens, written)


def test_a_name_near_nothing_is_only_refused():
    with pytest.raises(AttributeError, match=r"no attribute 'zzqqxx'\.$"):
        latens.zzqqxx  # noqa: B018


def nodes(tree, *kinds):
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def asserts(tree):
    """No assert: it vanishes under -O; raise instead."""
    return [f"line {node.lineno}: assert" for node in nodes(tree, ast.Assert)]


def evaluates(tree):
    """No eval, exec or compile: text is read by a parser that knows only our constructors."""
    calls = [node for node in nodes(tree, ast.Call) if isinstance(node.func, ast.Name)]
    return [f"line {c.lineno}: {c.func.id}()" for c in calls if c.func.id in {"eval", "exec", "compile"}]


def pickles(tree):
    """No pickle, by import or by keyword: a file from elsewhere must not run code."""
    imported = [(n.lineno, alias.name) for n in nodes(tree, ast.Import) for alias in n.names]
    imported += [(node.lineno, node.module or "") for node in nodes(tree, ast.ImportFrom)]
    banned = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    found = [f"line {line}: import {name}" for line, name in imported if name.split(".")[0] in banned]
    for call in nodes(tree, ast.Call):
        given = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        if given.get("allow_pickle", False) is not False:
            found.append(f"line {call.lineno}: allow_pickle is not False")
        if ast.unparse(call.func) == "torch.load" and given.get("weights_only") is not True:
            found.append(f"line {call.lineno}: torch.load without weights_only=True")
    return found


def long_functions(tree):
    """No function over 60 lines, its docstring not counted."""
    found = []
    for node in nodes(tree, ast.FunctionDef, ast.AsyncFunctionDef):
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines = node.end_lineno - node.lineno + 1
        if len(body) < len(node.body):
            lines -= node.body[0].end_lineno - node.body[0].lineno + 1
        if lines > LONGEST_FUNCTION:
            found.append(f"line {node.lineno}: {node.name} has {lines} lines, over {LONGEST_FUNCTION}")
    return found


def long_file(tree):
    """No file over 400 lines."""
    last = max((node.end_lineno for node in ast.walk(tree) if hasattr(node, "end_lineno")), default=0)
    return [f"{last} lines, over {LONGEST_FILE}"] if last > LONGEST_FILE else []


RULES = {
    "no assert": asserts,
    "no eval": evaluates,
    "no pickle": pickles,
    "short functions": long_functions,
    "short files": long_file,
}


@pytest.fixture(scope="module")
def trees():
    assert len(FILES) > 200
    return {file: ast.parse(path.read_text(encoding="utf-8")) for file, path in FILES.items()}


@pytest.mark.parametrize("rule", list(RULES))
def test_house_rule(rule, trees):
    found = [f"{file}, {breach}" for file, tree in trees.items() for breach in RULES[rule](tree)]
    if found:
        pytest.fail(f"{RULES[rule].__doc__} Found {'; '.join(found)}", pytrace=False)


BREACHES = {
    "no assert": ["def f(x):\n    assert x"],
    "no eval": ["eval('1')", "exec('1')", "compile('1', '', 'eval')"],
    "no pickle": [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "numpy.load(f, allow_pickle=True)",
        "numpy.load(f, allow_pickle=flag)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
    ],
    "short functions": ["def f():\n" + "    x = 1\n" * 60, 'def f():\n    """Text."""\n' + "    x = 1\n" * 60],
    "short files": ["x = 1\n" * 401],
}
ALLOWED = (
    """
import numpy
def f(model):
    '''Long.
"""
    + "\n" * 60
    + """    '''
    model.eval()
    re.compile("x")
    numpy.load(f, allow_pickle=False)
    torch.load(f, weights_only=True)
"""
    + "    x = 1\n" * 50
)


@pytest.mark.parametrize("rule", list(RULES))
def test_each_rule_sees_a_breach_and_only_that(rule):
    for breach in BREACHES[rule]:
        assert RULES[rule](ast.parse(breach)), breach
    assert RULES[rule](ast.parse(ALLOWED)) == []

"""Python that names what is not there, or imports what is not used."""
import subprocess
import sys

import tree


def main():
    paths = tree.files(["bench", "examples", "packaging", "tests"], (".py",))
    # F811: a fixture that is taken by its name
    result = subprocess.run([sys.executable, "-m", "flake8", "--isolated", "--select=F", "--extend-ignore=F811", *paths],
                            cwd=tree.ROOT, text=True, capture_output=True)
    complaints = (result.stdout + result.stderr).splitlines()
    tree.finish(complaints or ["flake8 failed"] * bool(result.returncode))


main()

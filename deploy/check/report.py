"""Collects what is wrong, so that one run tells everything."""

import subprocess
import sys


class Report:
    def __init__(self) -> None:
        self.checked = 0
        self.problems: list[str] = []

    def expect(self, holds: object, problem: str) -> bool:
        self.checked += 1
        if not holds:
            self.problems.append(problem)
        return bool(holds)

    def run(self, *command: str, **options: object) -> str:
        """What a program prints; that it fails is a problem."""
        result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        told = (result.stderr + result.stdout).strip()
        self.expect(result.returncode == 0, f"{' '.join(command[:4])}: {told}")
        return result.stdout

    def finish(self) -> None:
        for problem in self.problems:
            print(f"check: {problem}", file=sys.stderr)
        print(f"{self.checked - len(self.problems)} passed, {len(self.problems)} failed")
        sys.exit(1 if self.problems else 0)

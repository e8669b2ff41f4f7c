"""The campaign of hostile inputs: `make fuzz`, or ``python -m hostile.campaign`` in ``tests/``.

Makes some thousand recordings and models that are damaged, lying or foreign, has each scored in a
process that is watched, and counts what came of it. Exits with 1 if the contract was broken: within
3 GB and 20 s either a finite score or one line of error, and never in silence another verdict than
the intact file's.

A name, ``kind:seed``, makes one case alone again: ``python -m hostile.campaign cut:17 --keep out``.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hostile.audio_inputs import KINDS as AUDIO
from hostile.cases import Case, Kind, make_case
from hostile.folders import scored_as_folder
from hostile.foreign_models import EXECUTED
from hostile.model_alterations import kinds as model_kinds
from hostile.models_to_alter import Models, make_models
from hostile.report import Counts, page_with, printed
from hostile.verdicts import BREACHES, CRASH, MEMORY, SLOW, Verdict, judged
from hostile.watch import Task, answers

AT_ONCE = 150  # cases on the disk at a time
FOUND_IN_FOLDERS = (".wav", ".flac", ".ogg", ".mp3", ".aiff")  # whatever else may be
SEEDS = 100_000  # more than a kind has cases: another seed of the campaign, other cases


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="cases (kind:seed) or kinds; all if none is given")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other cases")
    parser.add_argument("--share", type=float, default=1, help="of the cases of every kind")
    parser.add_argument("--keep", type=Path, help="folder for the files of breaches")
    parser.add_argument("--page", choices=["before", "after"], help="enter the counts in the docs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aad-hostile-") as name:
        folder = Path(name)
        models = make_models(folder / "models")
        kinds = {**AUDIO, **model_kinds(models.today, models.past, models.graphs)}
        names = chosen(kinds, options.names, options.seed, options.share)
        counts: Counts = defaultdict(Counter)
        found = run(names, kinds, models, folder / "cases", options.keep)
        for done, (case_name, verdict) in enumerate(found, start=1):
            counts[case_name.partition(":")[0]][verdict.outcome] += 1
            if done % AT_ONCE == 0:
                print(f"{done} of {len(names)} cases", file=sys.stderr, flush=True)
            if verdict.outcome in BREACHES or options.names:
                detail = " ".join(verdict.detail.split())
                print(f"{case_name}: {verdict.outcome}: {detail}", flush=True)
    print(printed(counts))
    if options.page:
        page_with(counts, options.page)
    if any(counts[kind][breach] for kind in counts for breach in BREACHES):
        sys.exit(1)


def chosen(
    kinds: Mapping[str, Kind], wanted: Sequence[str], seed: int = 0, share: float = 1
) -> list[str]:
    """Names of the cases to be made: those that are wanted, of the kinds that are, or all."""
    names = [name for name in wanted if ":" in name]
    for kind in [name for name in wanted if ":" not in name] or (kinds if not wanted else []):
        count = max(1, round(share * kinds[kind].count))
        names += [f"{kind}:{SEEDS * seed + number}" for number in range(count)]
    return names


def run(
    names: Sequence[str],
    kinds: Mapping[str, Kind],
    models: Models,
    folder: Path,
    keep: Path | None = None,
) -> Iterator[tuple[str, Verdict]]:
    """Make cases, have them scored, judge the answers.

    Recordings are scored each alone and then once more all together, as a folder.

    Args:
        names: of the cases, ``kind:seed``.
        kinds: all kinds.
        models: to score with, and the clips that altered models score.
        folder: for the cases, which are deleted again.
        keep: where the files of breaches are copied to.
    """
    for first in range(0, len(names), AT_ONCE):
        cases = {name: make_case(kinds, name, folder) for name in names[first : first + AT_ONCE]}
        tasks = [_task(name, case, models) for name, case in cases.items()]
        alone: dict[Path, float] = {}
        for task, answer in answers(tasks):
            place = folder / task.name.replace(":", "-")
            found = judged(cases[task.name], answer, place / EXECUTED)
            verdict = found._replace(detail=found.detail.replace(f"{folder}/", ""))
            if keep is not None and verdict.outcome in BREACHES:
                shutil.rmtree(keep / place.name, ignore_errors=True)
                make_case(kinds, task.name, keep)  # a copy of a sparse file would fill the disk
            if not _is_audio(task.name) or verdict.outcome in (SLOW, MEMORY, CRASH):
                shutil.rmtree(place)  # one of these would end the whole folder
            elif answer.get("scores") and task.path.suffix in FOUND_IN_FOLDERS:
                alone[task.path] = answer["scores"][0]["score"]
            yield task.name, verdict
        if any(folder.iterdir()):
            together = scored_as_folder(models.today[0], folder, alone)
            yield f"whole_folder:{first // AT_ONCE}", together
        shutil.rmtree(folder)


def _is_audio(name: str) -> bool:
    return name.partition(":")[0] in AUDIO


def _task(name: str, case: Case, models: Models) -> Task:
    """A recording is scored by the intact model, an altered model scores intact recordings."""
    if _is_audio(name):
        model = models.today[0]
        reference = None if case.reference is None else (model, case.reference)
        return Task(name, model, case.path, reference)
    clips = models.clips_of(case.reference)
    reference = None if case.reference is None else (case.reference, clips)
    return Task(name, case.path, clips, reference)


if __name__ == "__main__":
    main()

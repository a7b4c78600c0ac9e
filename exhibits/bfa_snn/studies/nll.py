"""Which readout gives which NLL? The page's number beside ours, from one trained circuit.

Every readout is taken from the same presentations: a quantity of the output cells, summed over a window of steps,
divided by a number of steps, through a softmax; with or without the clipping of probabilities in the page's metric.
Writes results/nll.json and the table in nll.md.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import UserError, reported

ROW = "page-1234"  # of the results
CLIP = 1e-7  # ngclearn.utils.metric_utils.measure_CatNLL keeps probabilities between this and 1 minus this


def main() -> None:
    """Reads out dev and test set with the best parameters of the results run."""
    from exhibits.common.system.commandline import Parser
    from exhibits.common.system.environment import pin

    Parser(__doc__, "The circuit is that of `results.py page`.").parse_args()
    pin()  # what is imported from here on computes

    import numpy as np

    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.model import BFA_SNN
    from exhibits.common.circuit import Answer
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.data.loading import load_patterns
    from exhibits.common.experiment import runlog
    from exhibits.common.experiment.config import from_json
    from exhibits.common.experiment.evaluation import negative_log_likelihood
    from exhibits.common.experiment.restoring import restore
    from exhibits.common.report.results import write_part
    from exhibits.common.system.files import write_json

    class Probed(BFA_SNN):
        """Reads out sums of current, voltage and active steps (s = 1) of the output layer, before and after burn-in."""

        def present(self, run, x, y):
            sums = {"current": self.out.j, "voltage": self.out.v, "sent": self.out.s}
            self.begin(run, x, y)
            early = run.steps(self.config.burn_in, self.advance, **sums)
            late = run.steps(self.config.T - self.config.burn_in, self.advance, **sums)
            more = {
                f"{when} {name}": getattr(of, name) for when, of in (("early", early), ("late", late)) for name in sums
            }
            return Answer(early.sent + late.sent, late.current, more=more)

    run = Config.exp_dir / "results" / ROW
    if not (run / "config.json").exists():
        raise UserError(f"{run}: no run yet; train it first: exhibits/bfa_snn/results.py page")
    config = from_json(Config, run / "config.json")
    T, window = config.T, config.T - config.burn_in
    sets = {name: load_patterns(config, name)[0] for name in ("dev", "test")}
    keys = Keys.of(config.seed)
    circuit = Probed(None, sets["dev"].x.shape[1], sets["dev"].y.shape[1], config)
    trained = restore(circuit, run)
    rows = {}
    for name, patterns in sets.items():
        out = circuit.read(*patterns, getattr(keys, name))
        both = {kind: out[f"early {kind}"] + out[f"late {kind}"] for kind in ("current", "voltage", "sent")}
        readouts = {
            f"current after burn-in / {window} (ours)": out["late current"] / window,
            f"current after burn-in / {T}": out["late current"] / T,
            f"current of all steps / {T}": both["current"] / T,
            f"voltage after burn-in / {window}": out["late voltage"] / window,
            f"active steps after burn-in / {window}": out["late sent"] / window,
            f"active steps of all / {T}": both["sent"] / T,
            "active steps of all, summed": both["sent"],
        }
        for title, logits in readouts.items():
            nll = negative_log_likelihood(logits, patterns.y)
            clipped = -np.log(np.clip(np.exp(-nll), CLIP, 1 - CLIP))
            rows.setdefault(title, {})[name] = {"nll": float(nll.mean()), "clipped": float(clipped.mean())}
    write_json(
        HERE / "results" / "nll.json",
        runlog.describe() | {"seed": config.seed, "epoch": trained.epoch, "rows": rows},
    )
    write_part(HERE / "nll.md", table(rows), "nll")


def table(rows: dict) -> str:
    """The readouts as a Markdown table."""
    lines = ["| softmax of | dev | dev, clipped | test | test, clipped |", "|---|---|---|---|---|"]
    for title, row in rows.items():
        cells = [f"{row[name][kind]:.3f}" for name in ("dev", "test") for kind in ("nll", "clipped")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with reported():
        main()

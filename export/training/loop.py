"""The training loop: steps, moving average, validation, checkpoints, curves; for any `Task`."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgebs.errors import SinkError, WeightsError
from edgebs.machine.console import Log, ProgressBar
from edgebs.machine.interrupts import StopRequest
from export.models.weights import save_weights
from export.training import LoopOptions
from export.training.curves import LogWindow, Row, draw_curves, read_rows, write_rows
from export.training.record import (
    Checkpoint,
    load_checkpoint,
    new_record,
    read_record,
    resumed_record,
    save_checkpoint,
    stop_on_signals,
    write_record,
)
from export.training.stream import Batch, Prefetcher
from export.training.task import Task, tensors_from

logger = logging.getLogger(__name__)
LAST, BEST, FINAL = "last.pt", "best.safetensors", "final.safetensors"
CURVES, PICTURE, RECORD = "curves.csv", "curves.png", "training.json"
FILES = (LAST, BEST, FINAL, CURVES, PICTURE, RECORD)
DECAY = 0.998
"""Of the moving average, a step."""


def train(
    task: Task, options: LoopOptions, *, say: Log, bar: ProgressBar, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train `task` until its schedule ends or a signal stops it; returns a summary of the run.

    facts: JSON values for the record that do not affect the training, such as the photographs in the samples.
    Leaves in `options.out`: last.pt (everything to resume), best.safetensors and final.safetensors (the
    moving average, for `edgebs export --weights`), curves.csv, curves.png and training.json. Raises
    WeightsError where loss or gradient stop being finite, SinkError where a file cannot be written, and what
    the task's samples raise.
    """
    run = _Run(task, options, say, facts or {})
    with stop_on_signals() as stop:
        with bar("validation set"):
            run.validation = task.validation()
        with bar(f"training {task.name}") as progress:
            run.go_on(stop, progress)
    return run.finished()


def require_free(options: LoopOptions) -> list[str]:
    """The files of a run that are in `options.out`; SinkError where they may be neither used nor replaced."""
    there = [name for name in FILES if (options.out / name).exists()]
    if there and not options.force and not options.resume:
        raise SinkError(
            f"{options.out} holds a run already ({', '.join(there)}). Go on with --resume, choose another "
            "--out, or replace it with --force."
        )
    return there


class _Run:
    """One run in one process: the networks and where they are."""

    validation: Any = ()
    has_ended = False

    def __init__(self, task: Task, options: LoopOptions, say: Log, facts: Mapping[str, Any]) -> None:
        self.task, self.options, self.say, self.facts = task, options, say, facts
        if options.threads > 0:
            torch.set_num_threads(options.threads)
        self.device = torch_device(options.device)
        self.graph: Any = task.graph.to(self.device, memory_format=torch.channels_last).train()
        self.ema = MovingAverage(self.graph, options.ema_decay)
        self.network = self.graph.network
        self.optimiser = adamw(self.network, options.schedule.peak, options.betas, options.weight_decay)
        self.step, self.elapsed_before_s, self.started_s = 0, 0.0, time.monotonic()
        self.best_score: float | None = None
        self.best_step = 0
        self.saved_step: int | None = None
        self.rows: list[Row] = []
        self.settings = {"network": task.description(), **task.settings(), **options.settings()}
        self._prepare()

    @property
    def elapsed_s(self) -> float:
        """Over all processes that worked on this run."""
        return self.elapsed_before_s + time.monotonic() - self.started_s

    @property
    def is_over(self) -> bool:
        """Whether the schedule has ended."""
        return self.options.schedule.progress(self.step, self.elapsed_s) >= 1

    def file(self, name: str) -> Path:
        """One of the run's files."""
        return self.options.out / name

    def _prepare(self) -> None:
        out, last = self.options.out, self.file(LAST)
        if self.options.resume and last.is_file():
            self._resume(load_checkpoint(last))
            return
        there = require_free(self.options)
        if self.options.resume:
            self.say(f"no checkpoint in {out} yet: starting anew")
            self.file(FINAL).unlink(missing_ok=True)
        for name in there if self.options.force else ():
            self.file(name).unlink()
        for kept in self.options.out.glob(kept_name("*")) if self.options.force else ():
            kept.unlink()
        self._record(self._new_record())

    def _new_record(self) -> dict[str, Any]:
        return {**new_record(self.settings, asdict(self.options.schedule), self.device), **self.facts}

    def _resume(self, checkpoint: Checkpoint) -> None:
        _require_same(checkpoint.settings, self.settings, self.file(LAST))
        self.network.load_state_dict(checkpoint.network)
        self.ema.module.network.load_state_dict(checkpoint.ema)
        self.ema.updates = checkpoint.ema_updates
        self.optimiser.load_state_dict(checkpoint.optimiser)
        self.step, self.elapsed_before_s = checkpoint.step, checkpoint.elapsed_s
        self.best_score, self.best_step = checkpoint.best_score, checkpoint.best_step
        self.saved_step = checkpoint.step
        self.rows = read_rows(self.file(CURVES), checkpoint.step)
        if not self.is_over:
            # Of a schedule that had ended and was made longer: not the last weights any more.
            self.file(FINAL).unlink(missing_ok=True)
        before = read_record(self.file(RECORD))
        for name, value in self.facts.items():
            if name in before and before[name] != value:
                self.say(f"the {name} are not those that this run began with: it cannot be repeated now")
        self._record(resumed_record(before, self._new_record()))
        self.say(f"going on from step {self.step}, {self.elapsed_before_s / 60:.1f} minutes in")

    def go_on(self, stop: StopRequest, progress: Callable[[int, int], None]) -> None:
        """Train until the end, or until `stop`; either way the last step is in the checkpoint."""
        options = self.options
        self.started_s = time.monotonic()
        saved_at_s = self.started_s
        window = LogWindow()
        batches = self.task.batches(options.seed, options.batch, self.step)
        with Prefetcher(batches) as prefetched:
            while not self.is_over:
                waiting_s = time.perf_counter()
                batch = prefetched.take(stop)
                if batch is None:
                    break
                window.waited_s += time.perf_counter() - waiting_s
                self._one_step(batch, window)
                progress(*options.schedule.shown(self.step, self.elapsed_s))
                if self.step % options.log_every == 0:
                    self._log(window)
                    window = LogWindow()
                is_validated = self.step % options.validate_every == 0 and not self.is_over
                if is_validated:
                    self._validate()
                is_due = options.save_every > 0 and self.step % options.save_every == 0
                late_s = time.monotonic() - saved_at_s
                if is_validated or is_due or 0 < 60 * options.save_minutes <= late_s:
                    self._save()
                    saved_at_s = time.monotonic()
            # Read once: between two lines the clock must not end a run that was stopped.
            self.has_ended = self.is_over
            if window.count:
                self._log(window)
            if not self.has_ended:
                # Before the processes that render are ended, which waits for the sequence in hand.
                self._save()
        if self.has_ended:
            self._validate()
            self._save()

    def _one_step(self, batch: Batch, window: LogWindow) -> None:
        schedule = self.options.schedule
        rate = schedule.rate(self.step, schedule.progress(self.step, self.elapsed_s))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Dropout draws from this: a resumed run must draw the same, without storing a generator's state.
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)
        started_s = time.perf_counter()
        tensors = tensors_from(batch, self.device)
        with self._autocast():
            output = self.task.forward(self.graph, tensors)
        losses = self.task.loss(output, tensors)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        forward_s = time.perf_counter()
        self._require_finite("loss", values["loss"])
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip))
        self._require_finite("norm of the gradient", norm)
        self.optimiser.step()
        self.ema.update(self.graph)
        self.step += 1
        window.add(values, norm, rate, forward_s - started_s, time.perf_counter() - forward_s)

    def _require_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        kept = (
            "no checkpoint was written before"
            if self.saved_step is None
            else f"the last good checkpoint is {self.file(LAST)}, step {self.saved_step}"
        )
        raise WeightsError(
            f"training {self.task.name}: the {what} became {value} at step {self.step + 1}; {kept}. "
            "Start again with a smaller --lr, or with --precision fp32."
        )

    def _autocast(self) -> Any:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.options.precision == "bf16"
        )

    def _log(self, window: LogWindow) -> None:
        row = {
            "step": float(self.step),
            "seconds": self.elapsed_s,
            "samples": float(self.step * self.options.batch),
            **window.means(),
        }
        self.rows.append(row)
        write_rows(self.rows, self.file(CURVES))
        logger.info(
            "step %d: loss %.4f, rate %.2g; of the time %.0f %% waits for data, %.0f %% forward, "
            "%.0f %% backward",
            self.step, row["loss"], row["learning_rate"], 100 * row["data_share"],
            100 * row["forward_share"], 100 * row["backward_share"],
        )  # fmt: skip

    @torch.no_grad()
    def _validate(self) -> None:
        with self._autocast():
            scores = self.task.evaluate(self.ema.module, self.validation)
        # A run resumed at its very end validates the same step again.
        self.rows = [row for row in self.rows if row["step"] != self.step or "loss" in row]
        row = {"step": float(self.step), "seconds": self.elapsed_s}
        row.update({f"validation_{name}": value for name, value in scores.items()})
        self.rows.append(row)
        write_rows(self.rows, self.file(CURVES))
        score = scores[self.task.best_by]
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_step = score, self.step
            self._write_weights(BEST)
        if self.options.keep_validated:
            self._write_weights(kept_name(self.step))
        shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.say(f"step {self.step}: validation {shown} (best {self.best_score:.4f}, step {self.best_step})")

    def _write_weights(self, name: str) -> None:
        facts = {"step": self.step, "seed": self.options.seed, "samples": self.step * self.options.batch}
        # An export takes from here what the network was trained for. Not in the description of the network,
        # which is in the settings that a resumed run must share with runs of before.
        cue = {name: self.settings[name] for name in ("cue",) if name in self.settings}
        description = {**self.task.description(), **cue, "training": facts}
        save_weights(self.ema.module.network, self.file(name), description)

    def _save(self) -> None:
        save_checkpoint(
            Checkpoint(
                settings=self.settings,
                step=self.step,
                elapsed_s=self.elapsed_s,
                best_score=self.best_score,
                best_step=self.best_step,
                ema_updates=self.ema.updates,
                network=self.network.state_dict(),
                ema=self.ema.module.network.state_dict(),
                optimiser=self.optimiser.state_dict(),
            ),
            self.file(LAST),
        )
        self.saved_step = self.step
        self._record(self.record)
        draw_curves(self.rows, self.file(PICTURE))

    def _record(self, record: dict[str, Any]) -> None:
        """Keep and write the record with where the run is now."""
        self.record = {
            **record,
            "step": self.step,
            "samples": self.step * self.options.batch,
            "seconds": round(self.elapsed_s, 1),
            "best": {self.task.best_by: self.best_score, "step": self.best_step},
            "finished": self.file(FINAL).exists(),
        }
        write_record(self.record, self.file(RECORD))

    def finished(self) -> dict[str, Any]:
        """The summary; writes the final weights of a run whose schedule has ended."""
        if self.has_ended:
            self._write_weights(FINAL)
        self._record(self.record)
        return {
            "model": self.task.name,
            "out": str(self.options.out),
            "interrupted": not self.has_ended,
            "steps": self.step,
            "samples": self.step * self.options.batch,
            "seconds": round(self.elapsed_s, 1),
            "best": {self.task.best_by: self.best_score, "step": self.best_step},
            "files": [str(self.file(name)) for name in FILES if self.file(name).exists()],
            "schedule": asdict(self.options.schedule),
        }


def kept_name(step: int | str) -> str:
    """File of the weights of one validated step."""
    return f"step-{step}.safetensors"


def torch_device(name: str) -> Any:
    """The device of an option: auto, cpu or cuda. Raises WeightsError for a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise WeightsError("PyTorch sees no CUDA device here: use --device cpu.")
    return torch.device(name)


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], file: Path) -> None:
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        name = changed[0]
        raise WeightsError(
            f"{file} was trained with {name} {before.get(name)}, and {now.get(name)} was asked for: "
            "resume with the same options, or start anew in another folder."
        )


def adamw(module: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
    """Decay pulls kernels alone: gains of norms and biases, the tensors of one axis, are left free."""
    kernels: list[Any] = []
    others: list[Any] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (kernels if parameter.ndim > 1 else others).append(parameter)
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=betas, fused=True)


class MovingAverage:
    """A copy of a module whose tensors follow it: parameters, and the statistics of batch norms."""

    def __init__(self, module: nn.Module, decay: float = DECAY) -> None:
        """decay: share of the old value that stays at each update, once warm."""
        self.module: Any = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Follow `module` by one step. Early on the average is short, or it would keep random weights."""
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        followed, source = self.module.state_dict(), module.state_dict()
        floats = [name for name, tensor in followed.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([followed[n] for n in floats], [source[n] for n in floats], 1 - keep)
        for name, tensor in followed.items():
            if not tensor.is_floating_point():
                tensor.copy_(source[name])

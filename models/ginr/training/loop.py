"""The training loop: sample, encode, query, step; saved every few minutes, resumed by the same call."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.array_types import Image
from ginr.assessing.assessment import TRAITS
from ginr.device import fetched
from ginr.errors import CheckpointError, GinrError, printable
from ginr.lps.measures import diversity, effective_rank
from ginr.measuring.held_out import Scores, comparison, validate
from ginr.network.model import Ginr
from ginr.training.collect import Collection, collect
from ginr.training.config import TrainConfig
from ginr.training.cuda_graph import GraphedStep
from ginr.training.device_samples import DeviceSampler, fits
from ginr.training.objectives import objective_of, patch_side
from ginr.training.optimizers import freeze_all_but_lps, optimizer_of
from ginr.training.processes import ProcessGroup
from ginr.training.progress import Progress, Watcher
from ginr.training.run_folder import RunFolder, Weights, fingerprint
from ginr.training.run_log import RunLog
from ginr.training.samples import Batch, Feed, Sampler
from ginr.training.store import PictureStore
from ginr.training.teacher import SHARE, teacher_of

N_SHOWN = 4  # held-out pictures written for TensorBoard

FARTHEST = 1 << 20  # LR pixels: crops stand anywhere in the grain
LONGEST_WARM_UP = 0.1  # as a fraction of the run


def train(
    config: GinrConfig,
    settings: TrainConfig,
    watcher: Watcher,
    processes: ProcessGroup | None = None,
) -> Path:
    """Trains until the run is over; returns the path of the checkpoint (averaged weights).

    Each of several processes calls it with the same settings; the main one writes. Raises GinrError
    for folders without pictures, a run folder that cannot be written to, that another training
    uses or that belongs to a run with other settings, a checkpoint to start from that does not fit, or a loss that is not finite.
    """
    run = _Run(config, settings, processes or ProcessGroup(settings.device))
    with ExitStack() as stack:
        if run.processes.is_main:
            stack.enter_context(run.folder.locked())
        progress, before = run.resume()
        pictures = collect(
            settings.folders,
            crop=max(settings.crop, patch_side(settings) + 1),
            n_held_out=settings.n_held_out,
            store=PictureStore(settings.run, settings.memory_gb * 1e9),
            progress=watcher.loading,
        )
        run.fingerprint = fingerprint(pictures.training)
        run.folder.compare_pictures(run.fingerprint if before is None else before, run.fingerprint)
        run.measure_lps(progress)
        if run.processes.is_main:
            run.folder.prepare()
            log = RunLog(settings.run, progress.step, tensorboard=settings.tensorboard)
            run.log = stack.enter_context(closing(log))
        # The GPU shrinks by bicubic alone.
        is_plain = settings.degradation == "clean" and not config.n_trait
        progress.cuts_on_device = is_plain and fits(pictures.training, run.processes.device)
        watcher.begin(pictures, progress)
        feed = stack.enter_context(run.feed(pictures.training, progress))
        _loop(run, feed, progress, pictures, watcher)
    return run.folder.checkpoint


def _loop(
    run: "_Run", feed: Feed, progress: Progress, pictures: Collection, watcher: Watcher
) -> None:
    settings, processes, began = run.settings, run.processes, progress.seconds
    saved, saved_step = time.monotonic(), -1
    while progress.done(settings) < 1 and not processes.any(watcher.stop()):
        start = time.monotonic()
        run.step(feed.next_batch(), progress)
        progress.step += 1
        progress.seconds += processes.of_main(time.monotonic() - start)
        since = max(progress.seconds - began, 1e-9)
        progress.waiting, progress.computing = feed.waited / since, run.computed / since
        if progress.step % settings.log_steps == 0:
            run.measure_lps(progress)
            run.write_metrics(progress)
        watcher.stepped(progress)
        if processes.is_main and time.monotonic() - saved > settings.save_minutes * 60:
            watcher.saved(progress, run.save(progress, pictures, watcher.stops_validation))
            saved, saved_step = time.monotonic(), progress.step
    if processes.is_main and progress.step != saved_step:
        watcher.saved(progress, run.save(progress, pictures, watcher.stops_validation))


class _Run:
    """A run in this process: the network, its optimizer and the run's folder."""

    def __init__(self, config: GinrConfig, settings: TrainConfig, processes: ProcessGroup) -> None:
        self.config, self.settings, self.processes = config, settings, processes
        if settings.batch % (processes.n * settings.accumulate):
            raise GinrError(
                f"batch is {settings.batch}: not a multiple of {processes.n} processes "
                f"times accumulate, {settings.accumulate}"
            )
        if config.n_trait not in (0, len(TRAITS)):
            raise GinrError(f"n_trait is {config.n_trait}: use 0, or {len(TRAITS)} for a restorer")
        self.folder = RunFolder(config, settings)
        self.log: RunLog | None = None
        self.fingerprint = 0  # of the training pictures
        self.computed = 0.0  # seconds of forward and backward passes
        torch.manual_seed(settings.seed)
        self.model = Ginr(config).to(processes.device)
        if settings.bank is not None:
            freeze_all_but_lps(self.model, settings)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(self.model, settings)
        self.objective = objective_of(settings, self.processes, config.max_scale)
        self.teacher = teacher_of(settings, config, processes.device)
        self.weights = Weights(self.model, self.optimizer)
        self.backward: Callable[[Batch], Tensor] = self.plain_backward
        self._grain_origin, self._step = (0, 0), 0
        self._numbers = deque[Callable[[], Tensor]]()  # of steps that a GPU may still compute
        # A recorded step would see the grain and the queries of the first one, again and again.
        moves = config.n_grain > 0 or self.teacher is not None
        can_be_recorded = self.objective.can_be_recorded and not moves
        if processes.device.type == "cuda" and can_be_recorded:
            self.backward = GraphedStep(self.plain_backward, self.trained)
        if settings.compiled:
            if processes.device.type != "cuda":
                raise GinrError("compiled is for a GPU: leave it out")
            self.model.compile()

    def resume(self) -> tuple[Progress, int | None]:
        """Restores the last save, or starts from `init`.

        Returns the progress and the saved fingerprint of the pictures, None without a save.
        """
        saved = self.folder.restore(self.weights, self.objective)
        if saved is None and self.settings.init is not None and self.settings.bank is None:
            self.weights.start_from(self.settings.init)
        step, seconds, pictures = saved or (0, 0.0, None)
        if self.processes.of_main(step) != step:
            raise CheckpointError(
                f"{self.folder.state}: not the one that the main process sees: "
                "all processes need one shared run folder"
            )
        return Progress(step, seconds), pictures

    def feed(self, images: Sequence[Image], progress: Progress) -> Feed:
        """The batches of this process, from the next step on."""
        settings, device = self.settings, self.processes.device
        options = settings.seed, settings.crop, settings.n_query, self.config.max_scale
        sampler = Sampler(
            images, *options, settings.degradation, self.config.n_trait > 0, patch_side(settings)
        )
        places = self.processes.share(settings.batch)
        make = DeviceSampler(sampler, device).batch if progress.cuts_on_device else sampler.batch
        return Feed(
            lambda step: make(step, places).to(device), progress.step, settings.data_threads, device
        )

    def step(self, batch: Batch, progress: Progress) -> None:
        """One step of the optimizer. Raises GinrError if the loss is not finite."""
        rate, self._step = self._set_rates(progress), progress.step
        if self.config.n_grain:
            random = np.random.default_rng((self.settings.seed, progress.step))
            self._grain_origin = tuple(random.integers(FARTHEST, size=2).tolist())
        self.optimizer.zero_grad(set_to_none=True)
        start = time.monotonic()
        errors = self.backward(batch)
        self.computed += time.monotonic() - start
        self.processes.average_gradients(self.trained)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.settings.clip)
        self.optimizer.step()
        self.objective.step(rate)
        decay = min(self.settings.ema, (1 + progress.step) / (10 + progress.step))
        self.weights.update_average(decay)
        errors = self.processes.total(errors) / self.processes.n
        self._numbers.append(fetched(torch.cat([errors, norm[None]])))
        # The only wait for a GPU, and only for the step before: this one is queued already.
        on_gpu = self.processes.device.type == "cuda"
        self._read_numbers(progress, 1 if on_gpu and not math.isnan(progress.loss) else 0)

    def _read_numbers(self, progress: Progress, n_left: int = 0) -> None:
        """Reads the numbers of all steps but the last `n_left`. Raises GinrError if not finite."""
        while len(self._numbers) > n_left:
            progress.loss, mean_square, progress.gradient = self._numbers.popleft()().tolist()
            progress.psnr = -10 * math.log10(max(mean_square, 1e-10))
            if not (math.isfinite(progress.loss) and math.isfinite(progress.gradient)):
                step = progress.step - len(self._numbers)
                saved, again = self.folder.checkpoint, "start again with a lower rate"
                if saved.exists():
                    again = (
                        "the last save is sound: start another run from it, "
                        f"--init {printable(saved)}, with a lower rate"
                    )
                raise GinrError(
                    f"{self.settings.run}: the loss is {progress.loss} at step {step}, its gradient "
                    f"{progress.gradient}: {again}"
                )

    def plain_backward(self, batch: Batch) -> Tensor:
        """Computes the gradients of a batch; returns its loss and mean squared error, (2,)."""
        settings, device = self.settings, self.processes.device
        low, errors = settings.precision == "bfloat16", torch.zeros(2, device=device)
        places = self.processes.share(settings.batch)
        for number, part in enumerate(batch.split(settings.accumulate)):
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                traits = part.traits if self.config.n_trait else None
                origin = self._grain_origin
                field = self.model.encode(part.pixels, traits=traits, grain_origin=origin)
            field = replace(field, features=field.features.float())  # queries are float32
            colours = field.query(part.coords, part.cells, limited=False)
            loss = self.objective(colours, part)
            if self.teacher is not None:
                first = places[number * len(part.pixels)]
                loss = loss.lerp(self.teacher.loss(field, part, self._step, first), SHARE)
            loss = loss / settings.accumulate
            loss.backward()
            self.objective.backward(1 / settings.accumulate)
            square = (colours.detach() - part.target).square().mean() / settings.accumulate
            errors = errors + torch.stack([loss.detach(), square])
        return errors

    def _set_rates(self, progress: Progress) -> float:
        """A warm-up over at most a tenth of the run, then a cosine to zero at its end.

        Returns the rate in units of its peak.
        """
        done = progress.done(self.settings)
        warm = min(1.0, max((progress.step + 1) / self.settings.warm_up, done / LONGEST_WARM_UP))
        factor = warm * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        return factor

    def measure_lps(self, progress: Progress) -> None:
        """Diversity and rank of the LPs as a checkpoint would store them now."""
        lps = self.model.lps.detach().float().cpu()
        progress.most_rank = min(lps.shape)
        if progress.most_rank:
            progress.diversity, progress.rank = diversity(lps), effective_rank(lps)

    def save(self, progress: Progress, pictures: Collection, stops: Callable[[], bool]) -> Scores:
        """Writes state and checkpoint; returns the held-out scores of the averaged weights.

        If `stops` ends validation early, both are still written, and the scores are empty.
        """
        self._read_numbers(progress)
        state = {"step": progress.step, "seconds": progress.seconds, "pictures": self.fingerprint}
        self.folder.save_state(self.weights.tensors() | self.objective.tensors(), state)
        model = Ginr(self.config).to(self.processes.device)
        model.load_state_dict({**self.model.state_dict(), **self.weights.average})
        scores = validate(model, pictures.held_out, self.settings.scales, stops)
        facts = {
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "n_training_images": len(pictures.training),
            "held_out_gain_over_bicubic_db": scores.gain,
            "held_out_psnr_y_db": scores.psnr,
        }
        self.folder.save_checkpoint(self.weights.average, facts)
        if self.log is not None and scores.psnr:
            held_out = {"gain_over_bicubic_db": scores.gain, "psnr_y_db": scores.psnr}
            self.log.write("validation", progress.step, held_out)
            if self.settings.tensorboard:
                for k, image in enumerate(pictures.held_out[:N_SHOWN]):
                    strip = comparison(model, image, min(4.0, self.config.max_scale))
                    self.log.show(f"bicubic_network_original/{k}", progress.step, strip)
        return scores

    def write_metrics(self, progress: Progress) -> None:
        """One line of the log."""
        if self.log is not None:
            values = {
                "minutes": progress.seconds / 60,
                "loss": progress.loss,
                "psnr_db": progress.psnr,
                "gradient_norm": progress.gradient,
                "rate": self.optimizer.param_groups[0]["lr"],
                "waiting_for_data": progress.waiting,
                "forward_and_backward": progress.computing,
            }
            if progress.most_rank:
                values["lp_diversity"] = progress.diversity
                values["lp_effective_rank"] = progress.rank
            self.log.write("training", progress.step, values)

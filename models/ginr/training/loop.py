"""The training loop: sample, encode, query, step; saved every few minutes, resumed by the same call."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.array_types import Image
from ginr.device import fetched
from ginr.errors import CheckpointError, GinrError, printable
from ginr.lps.measures import diversity, effective_rank
from ginr.measuring.held_out import Scores, comparison, validate
from ginr.network.model import Ginr, centred_lps
from ginr.training.collect import Collection, collect
from ginr.training.config import TrainConfig
from ginr.training.cuda_graph import Recorded
from ginr.training.device_samples import DeviceSampler, fits
from ginr.training.muon import Muon
from ginr.training.processes import Team
from ginr.training.progress import Progress, Watcher
from ginr.training.run_folder import RunFolder, Weights, fingerprint
from ginr.training.run_log import RunLog
from ginr.training.samples import Batch, Feed, Sampler
from ginr.training.store import PictureStore

N_SHOWN = 4
"""Held-out pictures that TensorBoard is given."""

OPTIMIZERS = {"muon": Muon, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}

LONGEST_WARM_UP = 0.1
"""Share of a run."""


def train(
    config: GinrConfig,
    settings: TrainConfig,
    watcher: Watcher,
    team: Team | None = None,
) -> Path:
    """Train until the run is over; returns the path of the checkpoint (averaged weights).

    Of several processes each calls it, with the same settings; the main one writes. Raises
    GinrError for folders without pictures, a run folder that cannot be written to or holds a run
    with other settings, a checkpoint to start from that does not fit, or a loss not finite.
    """
    run = _Run(config, settings, team or Team(settings.device))
    progress, before = run.resume()
    pictures = collect(
        settings.folders,
        crop=settings.crop,
        n_held_out=settings.n_held_out,
        store=PictureStore(settings.run, settings.memory_gb * 1e9),
        progress=watcher.loading,
    )
    run.pictures = fingerprint(pictures.training)
    run.folder.compare_pictures(run.pictures if before is None else before, run.pictures)
    run.look_at_lps(progress)
    with ExitStack() as open_:
        if run.team.is_main:
            run.folder.prepare()
            run.log = open_.enter_context(
                RunLog(settings.run, progress.step, tensorboard=settings.tensorboard)
            )
        progress.cuts_on_device = run.cuts_on_device(pictures.training)
        watcher.begin(pictures, progress)
        feed = open_.enter_context(run.feed(pictures.training, progress))
        _loop(run, feed, progress, pictures, watcher)
    return run.folder.checkpoint


def _loop(
    run: "_Run", feed: Feed, progress: Progress, pictures: Collection, watcher: Watcher
) -> None:
    settings, team, began = run.settings, run.team, progress.seconds
    saved = time.monotonic()
    while progress.done(settings) < 1 and not team.any(watcher.stop()):
        start = time.monotonic()
        run.step(feed.take(), progress)
        progress.step += 1
        progress.seconds += team.of_main(time.monotonic() - start)
        since = max(progress.seconds - began, 1e-9)
        progress.waiting, progress.computing = feed.waited / since, run.computed / since
        if progress.step % settings.log_steps == 0:
            run.look_at_lps(progress)
            run.write_metrics(progress)
        watcher.stepped(progress)
        if team.is_main and time.monotonic() - saved > settings.save_minutes * 60:
            watcher.saved(progress, run.save(progress, pictures))
            saved = time.monotonic()
    if team.is_main:
        watcher.saved(progress, run.save(progress, pictures))


class _Run:
    """A run in this process: the network, its optimizer, the team and the folder."""

    def __init__(self, config: GinrConfig, settings: TrainConfig, team: Team) -> None:
        self.config, self.settings, self.team = config, settings, team
        if settings.batch % (team.n * settings.accumulate):
            raise GinrError(
                f"batch is {settings.batch}: not a multiple of {team.n} processes "
                f"times accumulate, {settings.accumulate}"
            )
        self.folder = RunFolder(config, settings)
        self.log: RunLog | None = None
        self.pictures = 0
        self.computed = 0.0
        torch.manual_seed(settings.seed)
        self.model = Ginr(config).to(team.device)
        self.optimizer = _optimizer(self.model, settings)
        self.weights = Weights(self.model, self.optimizer)
        self.learn: Callable[[Batch], Tensor] = self._learn
        self._told: deque[Callable[[], Tensor]] = deque()
        if team.device.type == "cuda":
            self.learn = Recorded(self._learn, list(self.model.parameters()))
        if settings.compiled:
            if team.device.type != "cuda":
                raise GinrError("compiled is for a GPU: leave it out")
            self.model.compile()

    def resume(self) -> tuple[Progress, int | None]:
        """Take over the last save or `init`; returns where it stands and its pictures' number."""
        found = self.folder.load()
        if found is None:
            if self.settings.init is not None:
                self.weights.start_from(self.settings.init)
            step, seconds, pictures = 0, 0.0, None
        else:
            tensors, facts = found
            try:
                step, seconds = facts["step"], float(facts["seconds"])
                pictures = facts["pictures"]
                self.weights.take(tensors, step)
            except (LookupError, TypeError, ValueError, RuntimeError) as error:
                raise self.folder.unusable(error) from None
        if self.team.of_main(step) != step:
            raise CheckpointError(
                f"{self.folder.state}: not the one that the main process sees: "
                "all processes need one shared run folder"
            )
        return Progress(step, seconds), pictures

    def cuts_on_device(self, images: Sequence[Image]) -> bool:
        """Whether crops are cut on a GPU: it does bicubic alone, and needs room for the pictures."""
        return self.settings.degradation == "clean" and fits(images, self.team.device)

    def feed(self, images: Sequence[Image], progress: Progress) -> Feed:
        """The batches of this process, from the next step on."""
        settings, device = self.settings, self.team.device
        sampler = Sampler(
            images,
            settings.seed,
            settings.crop,
            settings.n_query,
            self.config.max_scale,
            settings.degradation,
        )
        places = self.team.share(settings.batch)
        make = DeviceSampler(sampler, device).batch if progress.cuts_on_device else sampler.batch
        return Feed(
            lambda step: make(step, places).to(device), progress.step, settings.data_threads, device
        )

    def step(self, batch: Batch, progress: Progress) -> None:
        """One step of the optimizer. Raises GinrError if the loss is not finite."""
        settings = self.settings
        self._set_rates(progress)
        self.optimizer.zero_grad(set_to_none=True)
        start = time.monotonic()
        errors = self.learn(batch)
        self.computed += time.monotonic() - start
        parameters = list(self.model.parameters())
        self.team.average_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        self.optimizer.step()
        self.weights.follow(min(settings.ema, (1 + progress.step) / (10 + progress.step)))
        self._told.append(fetched(torch.cat([self.team.total(errors) / self.team.n, norm[None]])))
        # A GPU is waited for here and nowhere else: for the step before, with this one handed to it.
        on_gpu = self.team.device.type == "cuda"
        self._hear(progress, 1 if on_gpu and not math.isnan(progress.loss) else 0)

    def _hear(self, progress: Progress, n_left: int = 0) -> None:
        """Read the numbers of all steps but the last `n_left`. Raises GinrError for one not finite."""
        while len(self._told) > n_left:
            progress.loss, mean_square, progress.gradient = self._told.popleft()().tolist()
            progress.psnr = -10 * math.log10(max(mean_square, 1e-10))
            if not (math.isfinite(progress.loss) and math.isfinite(progress.gradient)):
                step = progress.step - len(self._told)
                raise GinrError(
                    f"{self.settings.run}: the loss is {progress.loss} at step {step}, its gradient "
                    f"{progress.gradient}; the last save is sound: start another run from it, "
                    f"--init {printable(self.folder.checkpoint)}, with a lower rate"
                )

    def _learn(self, batch: Batch) -> Tensor:
        """Leaves the gradients of a batch; returns its loss and mean squared error, (2,)."""
        settings = self.settings
        errors = torch.zeros(2, device=self.team.device)
        for part in batch.split(settings.accumulate):
            error = self._answer(part) - part.target
            loss = loss_of(error, settings.loss) / settings.accumulate
            loss.backward()
            square = error.detach().square().mean() / settings.accumulate
            errors = errors + torch.stack([loss.detach(), square])
        return errors

    def _answer(self, batch: Batch) -> Tensor:
        """The network's colours (B, Q, 3); the field is read in float32 whatever the precision."""
        low = self.settings.precision == "bfloat16"
        with torch.autocast(self.team.device.type, torch.bfloat16, enabled=low):
            field = self.model.encode(batch.pixels)
        field = replace(field, features=field.features.float())
        return field.query_freely(batch.coords, batch.cells)

    def _set_rates(self, progress: Progress) -> None:
        """Warm-up, over a tenth of the run at the latest; then a cosine to zero at its end."""
        done = progress.done(self.settings)
        warm = min(1.0, max((progress.step + 1) / self.settings.warm_up, done / LONGEST_WARM_UP))
        part = warm * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * part

    def look_at_lps(self, progress: Progress) -> None:
        """Note what the LPs are like, as a checkpoint of now would hold them."""
        weights = {name: p.detach().float().cpu() for name, p in self.weights.names.items()}
        lps = centred_lps(weights)["lps"]
        progress.diversity, progress.rank = diversity(lps), effective_rank(lps)
        progress.most_rank = min(lps.shape)

    def save(self, progress: Progress, pictures: Collection) -> Scores:
        """Write state and checkpoint; returns the held-out scores of the averaged weights."""
        self._hear(progress)
        place = {
            "step": progress.step,
            "seconds": progress.seconds,
            "pictures": self.pictures,
        }
        self.folder.save_state(self.weights.tensors(), place)
        model = Ginr(self.config).to(self.team.device)
        model.load_state_dict(self.weights.average)
        scores = validate(model, pictures.held_out, self.settings.scales)
        facts = {
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "n_training_images": len(pictures.training),
            "held_out_gain_over_bicubic_db": scores.gain,
            "held_out_psnr_y_db": scores.psnr,
        }
        self.folder.save_checkpoint(centred_lps(self.weights.average), facts)
        if self.log is not None:
            held_out = {"gain_over_bicubic_db": scores.gain, "psnr_y_db": scores.psnr}
            self.log.write("validation", progress.step, held_out)
            if self.log.shows_pictures:
                for k, image in enumerate(pictures.held_out[:N_SHOWN]):
                    strip = comparison(model, image, min(4.0, self.config.max_scale))
                    self.log.show(f"bicubic_network_original/{k}", progress.step, strip)
        return scores

    def write_metrics(self, progress: Progress) -> None:
        """A line of the log."""
        if self.log is None:
            return
        values = {
            "minutes": progress.seconds / 60,
            "loss": progress.loss,
            "psnr_db": progress.psnr,
            "gradient_norm": progress.gradient,
            "rate": self.optimizer.param_groups[0]["lr"],
            "lp_diversity": progress.diversity,
            "lp_effective_rank": progress.rank,
            "waiting_for_data": progress.waiting,
            "forward_and_backward": progress.computing,
        }
        self.log.write("training", progress.step, values)


def loss_of(error: Tensor, kind: str) -> Tensor:
    """The mean over differences of colour of any shape: `l1`, `charbonnier` or `mse`."""
    if kind == "mse":
        return error.square().mean()
    if kind == "charbonnier":
        return (error.square() + 1e-6).sqrt().mean()
    return error.abs().mean()


def _optimizer(model: Ginr, settings: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of `settings`, with a group each for the encoder, the LPs and the decoder.

    Muon's matrices are the maps and convolutions of the encoder, a group of their own.
    """
    matrices: list[torch.nn.Parameter] = []
    encoder: list[torch.nn.Parameter] = []
    decoder: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if name.startswith("decoder."):
            decoder.append(parameter)
        elif name != "lps":
            (matrices if parameter.ndim == 4 else encoder).append(parameter)
    parts = (
        (matrices, settings.rate_encoder),
        (encoder, settings.rate_encoder),
        ([model.lps], settings.rate_lps),
        (decoder, settings.rate_decoder),
    )
    groups = [
        {"params": part, "peak": rate or settings.rate, "matrices": part is matrices}
        for part, rate in parts
    ]
    decay = settings.weight_decay
    optimizer: torch.optim.Optimizer = OPTIMIZERS[settings.optimizer](
        groups, 0.0, betas=(0.9, 0.99), weight_decay=decay, fused=True
    )
    return optimizer

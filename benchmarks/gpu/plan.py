"""The stages of the check, in the order of their value."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.gpu.asked import count_asked
from benchmarks.gpu.backbone import measure_limit, measure_ours, measure_spconv
from benchmarks.gpu.conformance import LARGE, SMALL, check_form, forms, loadable, maps_of_device, unequal_maps
from benchmarks.gpu.report import Report
from benchmarks.gpu.work import Case, measure_steps, seconds_of, sent
from lass3d_core.compute.precision import Precision, refusal
from lass3d_core.sparse.maps import build_pyramid
from train.runs.byte_count import bytes_of

METHODS = ("lass3d", "lass3d_plus", "mean_teacher", "supervised")
PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float16", "float32")
ONE_PASS = {"lass3d": ("method.pe_form=single_pass",)}
PAPER = ("method.pe_form=paper",)
FASTEST_FIRST = ("triton", "reference", "spconv", "torchsparse")


@dataclass(frozen=True)
class Plan:
    """What is checked, and how large. has_loader: the packages that the loader needs are there."""

    report: Report
    device: torch.device
    turns: int
    small: bool
    has_loader: bool

    @property
    def longest(self) -> float:
        """Seconds that one measurement may repeat."""
        return 0.3 if self.small else 3.0

    def seconds(self, on_gpu: float) -> float:
        """What a stage is expected to take."""
        return 3.0 if self.small else on_gpu

    def case(
        self,
        method: str,
        precision: str,
        backend: str,
        settings: Sequence[str] = (),
        preset: str = "semantickitti",
    ) -> Case:
        """A case of this plan's size."""
        return Case(preset, method, precision, backend, self.turns, tuple(settings), self.small)

    def run(self) -> None:
        """All stages. Backends that cannot be loaded, and precisions that the card lacks, are named."""
        self.report.machine = machine(self.device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        found = loadable(self.report, self.device)
        backends = [name for name in FASTEST_FIRST if name in found]
        precisions = self.precisions()
        self.stage("maps", 20, self.check_maps)
        for form in forms(self.device):
            if form.backend in found:
                check = partial(check_form, self.report, form, SMALL if self.small else LARGE)
                self.stage(f"conformance of {form.title}", 60 if form.backend == "triton" else 20, check)
        self.steps(precisions[:1], METHODS, backends)
        self.kernels(precisions[0], backends)
        self.backbones([one for one in precisions if one != "float32"], backends)
        self.loader(precisions[0], backends[0])
        self.steps(precisions[1:], METHODS, backends)
        paper = self.case("lass3d", precisions[0], backends[0], PAPER)
        self.stage_of_steps(paper)
        for preset in ("nuscenes", "scannet"):
            for method in METHODS:
                settings = ONE_PASS.get(method, ())
                self.stage_of_steps(self.case(method, precisions[0], backends[0], settings, preset))
        self.backbones(["float32"], backends)

    def stage(self, name: str, on_gpu: float, work: Callable[[], None]) -> None:
        """Run `work` if the time is left. on_gpu: the seconds that it is expected to take there."""
        self.report.stage(name, self.seconds(on_gpu), work)

    def precisions(self) -> list[Precision]:
        """Those that the card has."""
        if self.device.type != "cuda":
            return list(PRECISIONS)
        name, capability = (
            torch.cuda.get_device_name(self.device),
            torch.cuda.get_device_capability(self.device),
        )
        refused = {one: why for one in PRECISIONS if (why := refusal(one, name, capability))}
        self.report.left_out += [why for why in refused.values() if why not in self.report.left_out]
        return [one for one in PRECISIONS if one not in refused]

    def check_maps(self) -> None:
        """Maps of the device against those of the host, in content and time."""
        host = self.case("lass3d", "float32", "reference").host_batch
        coords, levels = host.pyramid.coords[0], host.pyramid.levels
        there = coords.to(self.device)
        wrong = unequal_maps(host.pyramid, maps_of_device(there, levels))
        batch = sent(host, self.device)
        self.report.add(
            "maps",
            voxels=len(coords),
            **{
                "equal": wrong or "yes",
                "on the device, ms": 1e3 * self.timed(partial(maps_of_device, there, levels)),
                "on the host, ms": 1e3 * self.timed(partial(build_pyramid, coords, levels)),
                "sent and built, ms": 1e3 * self.timed(partial(batch.to, self.device)),
                "MB sent": bytes_of(batch) / 1e6,
                "MB of maps": bytes_of(host.pyramid) / 1e6,
            },
        )
        if wrong:
            raise ValueError(f"the maps of the device are not those of the host: {wrong}")

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds of `work`."""
        return seconds_of(work, self.device, self.longest, most=5)

    def steps(self, precisions: Sequence[str], methods: Sequence[str], backends: Sequence[str]) -> None:
        """Training steps, a stage each."""
        for precision in precisions:
            for method in methods:
                for backend in backends:
                    self.stage_of_steps(self.case(method, precision, backend, ONE_PASS.get(method, ())))

    def stage_of_steps(self, case: Case) -> None:
        """The steps of one case: micro-batches per second, and memory."""

        def work() -> None:
            self.report.add("steps", **case.names(), **measure_steps(case, self.device, self.longest))

        # A first step of a precision compiles its kernels.
        self.report.stage(f"steps of {' '.join(case.names().values())}", self.seconds(20), work)

    def kernels(self, precision: str, backends: Sequence[str]) -> None:
        """Launches and waits of a step."""
        for method in ("lass3d", "mean_teacher", "supervised"):
            for backend in backends[:2]:
                case = self.case(method, precision, backend, ONE_PASS.get(method, ()))
                work = partial(count_asked, self.report, case, self.device)
                self.stage(f"kernels of {' '.join(case.names().values())}", 15, work)

    def backbones(self, precisions: Sequence[str], backends: Sequence[str]) -> None:
        """The backbone alone, a stage for each precision."""
        for precision in precisions:
            self.stage(f"backbone in {precision}", 40, partial(self.backbone, precision, backends))

    def backbone(self, precision: str, backends: Sequence[str]) -> None:
        """The backbone on each backend beside the limit, and in float16 beside spconv's own network."""
        case = self.case("lass3d", precision, "reference")
        limit = measure_limit(self.report, case, self.device, self.longest)
        for backend in backends:
            measure_ours(self.report, replace(case, backend=backend), self.device, self.longest, limit)
        if precision == "float16":
            self.backbone_of_spconv(case, limit)

    def backbone_of_spconv(self, case: Case, limit: float) -> None:
        """spconv's own network, if it can run here. limit: seconds of the dense products."""
        what = "spconv's own network, implicit GEMM"
        if self.device.type != "cuda":
            self.report.left_out.append(f"{what}: it needs a GPU")
        elif importlib.util.find_spec("spconv") is None:
            self.report.left_out.append(f"{what}: spconv is not installed; pip install spconv-cu126")
        else:
            measure_spconv(self.report, case, self.device, self.longest, limit)

    def loader(self, precision: str, backend: str) -> None:
        """How long a step waits for its batch; nothing if the loader's packages are missing."""
        if not self.has_loader:
            return
        from benchmarks.gpu.waiting import measure_waiting

        case = self.case("lass3d", precision, backend, ONE_PASS["lass3d"])
        steps, longest = (6, 5.0) if self.small else (60, 20.0)
        self.stage("loader", 40, partial(measure_waiting, self.report, case, self.device, steps, longest))


def machine(device: torch.device) -> dict[str, str]:
    """What one needs to judge the figures."""
    about = {"device": "cpu", "cores": str(os.cpu_count())}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about["device"] = properties.name
        about["compute capability"] = f"{properties.major}.{properties.minor}"
        about["memory"] = f"{properties.total_memory / 2**30:.0f} GiB"
        about["CUDA"] = str(torch.version.cuda)
    if importlib.util.find_spec("triton"):
        import triton

        about["triton"] = triton.__version__
    return about | {"torch": torch.__version__, "Python": platform.python_version()}

"""`make doctor`: is everything there that the manifest names, and can it be right? One line each."""

from __future__ import annotations

from preprocess.doctor.data import data
from preprocess.doctor.finding import Finding
from preprocess.doctor.machine import machine
from preprocess.doctor.models import models
from preprocess.project import Project


def doctor(project: Project) -> list[Finding]:
    """Every finding about models, data and machine; packages.py has looked at the packages before."""
    return [*models(project), *data(project), *machine(project)]

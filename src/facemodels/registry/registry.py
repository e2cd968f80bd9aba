"""The acts on a registry: register a version, move it, deprecate it, audit the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facemodels.errors import ConflictError, IntegrityError, RuleError
from facemodels.git import Git, find_root
from facemodels.names import ModelId
from facemodels.registry import (
    audit,
    completeness,
    members,
    policy,
    reading,
    rules,
    semver,
    signatures,
)
from facemodels.registry.events import Event
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import Entry, State, Status, production_line
from facemodels.registry.tag_store import TagStore

if TYPE_CHECKING:  # they bring torch along, which reading must not wait for
    from facemodels.package.load import Package
    from facemodels.registry.bump import Comparison


@dataclass(frozen=True)
class Registration:
    """A request to register a version.

    Attributes:
        package: a verified package inside the repository.
        revision: the commit that tracks the package.
        labels: free words that lists can be filtered by.
        reason: the reason in the event; if it is empty, the changelog of the version.
        data: prepared test data on which the version before is compared.
        accept_regression: who accepts worse accuracy, and why; empty if nobody does.
        comparison: the comparison with the version before, if it was made already.
    """

    package: Package
    revision: str = "HEAD"
    labels: Sequence[str] = ()
    reason: str = ""
    data: Path | None = None
    accept_regression: str = ""
    comparison: Comparison | None = None


class Registry:
    """The registry of the repository that a folder lies in.

    Args:
        repository: the tag store of the repository.
    """

    def __init__(self, repository: TagStore) -> None:
        self.repository = repository
        self.git = repository.git
        self.root = repository.git.root

    def register(self, asked: Registration) -> Event:
        """Tag a new version, after its evidence was read and its number judged.

        Raises:
            InputError: registered already, not tracked by DVC, no data to compare on.
            IntegrityError: the package is not what its commit tracks.
            RuleError: the bump is too small, accuracy is worse, the role is missing, the
                licence is not allowed, or a member of a system is not what was registered.
            GateError: it claims the embedding space of a version and was not shown to keep it.
            ConflictError: somebody else was faster.
        """
        from facemodels.registry import bump
        from facemodels.registry.evidence import collect

        commit = self.git.commit(asked.revision)
        self.repository.sync()
        known = self.repository.state()
        before = predecessor(known, asked.package.id)
        if str(asked.package.id) in known.entries:
            rules.register(  # refuses, before a long comparison
                known, asked.package.id, commit, reason="", evidence={}, entry={}
            )
        evidence, entry = collect(self.git, asked.package, commit)
        self.repository.policy.require_origin(str(asked.package.id), entry)
        members.require_known_members(known, str(asked.package.id), entry)
        entry["tags"] = sorted(set(asked.labels))
        if before is None:
            bump.require_shown_claim(None, asked.package)
        else:
            comparison = self.judge(before, asked)
            evidence["comparison"] = comparison.evidence
            entry["bump"] = {
                "level": comparison.ruling.level,
                "reasons": list(comparison.ruling.reasons),
                "accepted_regression": asked.accept_regression,
            }
            entry["parent_version"] = str(before.version)

        def plan(state: State) -> ProposedEvent:
            now = predecessor(state, asked.package.id)
            if (now and now.event.object) != (before and before.event.object):
                raise ConflictError(
                    f"{now.id if now else 'nothing'} is the version before {asked.package.id} now.",
                    "Nothing was changed. Run it again to compare with that one.",
                )
            reason = asked.reason or str(entry.get("changelog", ""))
            return rules.register(
                state, asked.package.id, commit, reason=reason, evidence=evidence, entry=entry
            )

        return self.repository.add(plan)

    def judge(self, before: Entry, asked: Registration) -> Comparison:
        """Compare a package with the version before it and hold its number against the ruling.

        Raises:
            InputError: no data to compare on, or the number is not above the one before.
            RuleError: the bump is too small, or accuracy is worse and nobody answers for it.
            GateError: it claims an embedding space and does not keep it.
        """
        from facemodels.params import load
        from facemodels.registry import bump
        from facemodels.registry.packages import obtain

        data = asked.data or self.root / "data" / "prepared" / asked.package.task
        settings = load(self.root / "params.yaml").compare
        comparison = asked.comparison
        if comparison is None or comparison.evidence["package"] != before.evidence.get("package"):
            with obtain(self.root, before) as old:
                comparison = bump.compare(old, asked.package, data, settings)
        semver.check(
            before.version,
            asked.package.id.version,
            comparison.ruling,
            accept_regression=asked.accept_regression,
        )
        return comparison

    def move(
        self,
        model: ModelId,
        status: Status,
        *,
        reason: str = "",
        re_enrolment: str = "",
        emergency: bool = False,
    ) -> Event:
        """Promote a version, or roll back to it.

        A promotion verifies the package and asks for its gates. A rollback does not wait for
        that: it goes to a version that passed before, and works without the DVC remote.

        Raises:
            InputError: not registered, or in that status already.
            IntegrityError: the package is not what was registered.
            RuleError: no such move; GateError: below a gate.
            ConflictError: somebody else was faster.
        """

        def plan(state: State) -> ProposedEvent:
            return rules.move(
                state, model, status,
                reason=reason, re_enrolment=re_enrolment, emergency=emergency,
            )  # fmt: skip

        return self.act(plan)

    def act(self, plan: Proposal) -> Event:
        """Add an event of a registered version.

        A promotion and a rollout verify the package and require its gates first; an act that
        takes a version back does not wait for that.

        Args:
            plan: gives the event for a state, by a function of `rules`.

        Raises:
            IntegrityError: the package is not what was registered.
            GateError: below a gate; and what `plan` refuses with.
            ConflictError: somebody else was faster.
            ToolError: the remote cannot be reached.
        """
        return self.repository.add(plan, check=self._require_verified)

    def _require_verified(self, state: State, change: ProposedEvent) -> None:
        """Verify the package of a version that an event would bring on."""
        if change.act in ("promote", "rollout"):
            self._require_promotable(state.entry(change.model))

    def _require_promotable(self, entry: Entry) -> None:
        from facemodels.registry.evidence import require_gates
        from facemodels.registry.packages import obtain

        require_gates(entry)
        with obtain(self.root, entry):
            pass  # it was verified and is the one that was registered

    def deprecate(self, model: ModelId, *, reason: str, retire: bool = False) -> Event:
        """Take a version out of use for good.

        Raises:
            InputError: not registered, deprecated already, or no reason.
            RuleError: it is in production and `retire` is not set.
            ConflictError: somebody else was faster.
        """
        return self.repository.add(
            lambda state: rules.deprecate(state, model, reason=reason, retire=retire)
        )

    def audit(self, *, offline: bool = False) -> list[audit.AuditFinding]:
        """Find everything that is wrong with the tags of this clone, signatures included.

        Args:
            offline: whether no sync came before, so that the clone may lack events; what says so
                is then among the findings.
        """
        head, events = reading.read_chain(self.git)
        findings = audit.audit(events, head, reading.read_originals(self.git, events, head))
        if offline and self.repository.policy.remote:
            why = completeness.signs(self.git, events, whole_chain=False)
            why += ["it has no head, which a sync fetches"] if head is None else []
            findings += [audit.AuditFinding("incomplete", "", one) for one in why]
        if self.repository.policy.signatures == "required":
            findings += signatures.check(self.git, self.root, self.repository.policy, events)
        return findings


def open_registry(
    start: Path, known: policy.RegistryPolicy | None = None, *, local: bool = False
) -> Registry:
    """Open the registry of the clone that a folder lies in.

    Args:
        start: the folder.
        known: the policy; None reads conf/registry.yaml.
        local: whether events are made in this clone alone; `sync --publish` sends them later.

    Raises:
        InputError: the folder lies in no clone, or conf/registry.yaml is wrong.
    """
    root = find_root(start)
    return Registry(TagStore(Git(root), known or policy.load(root), local=local))


def predecessor(state: State, model: ModelId) -> Entry | None:
    """The highest registered version below one, of the same model and variant."""
    lower = [
        entry
        for entry in state.of_model(str(model.name))
        if entry.version < model.version and ModelId.parse(entry.id).variant == model.variant
    ]
    return lower[-1] if lower else None


def previous_production(state: State, model: str) -> Entry:
    """The version that was in production before the present one, if a rollback may go there.

    Raises:
        RuleError: there is none to go back to.
    """
    current = state.production.get(model)
    for identity in reversed(production_line(state, model)):
        entry = state.entries.get(identity)
        there = entry is not None and entry.status == "staging" and identity not in state.archived
        if entry is not None and there and identity != current:
            return entry
    raise RuleError(
        f"{model} has no version to go back to.", "See `facemodels registry list --status staging`."
    )


def explain(findings: Sequence[audit.AuditFinding]) -> IntegrityError:
    """Make the findings of an audit an error with exit code 3."""
    if {finding.kind for finding in findings} == {"incomplete"}:
        return IntegrityError(
            "this clone may lack events, so nobody can tell whether they are what was signed off",
            "`facemodels registry sync` fetches them.",
        )
    named = tuple(dict.fromkeys(f"{f.tag or 'head'} ({f.kind})" for f in findings))
    return IntegrityError("the registry is not what was signed off", changed=named)

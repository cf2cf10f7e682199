"""Extensions beside the pipelines, and the `self` receiver: what the agent tells about itself."""

from ophion_agent.plugin import Components, Removed, hookimpl
from ophion_extensions.basicauth import BasicAuth
from ophion_extensions.bearertokenauth import BearerTokenAuth
from ophion_extensions.file_storage import FileStorage
from ophion_extensions.headers_setter import HeadersSetter
from ophion_extensions.health_check import HealthCheck
from ophion_extensions.pprof import Pprof
from ophion_extensions.self_receiver import SelfReceiver
from ophion_extensions.zpages import ZPages


@hookimpl
def ophion_components() -> Components:
    """Register the extensions and the `self` receiver."""
    return [
        FileStorage,
        HealthCheck,
        ZPages,
        Pprof,
        SelfReceiver,
        BearerTokenAuth,
        BasicAuth,
        HeadersSetter,
        Removed("extension", "memory_ballast", "remove it and put the `memory_limiter` processor into the pipelines"),
    ]

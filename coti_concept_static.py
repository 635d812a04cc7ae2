"""The name behind ``zenml pipeline run coti_concept_static``.

ZenML imports this module and takes what it finds under that name for the pipeline; so the module
puts the pipeline object in its own place. Before that it checks the run file, of which ZenML
would silently ignore unknown keys, and sends library noise to a log file.
"""

import sys

from ops.quiet import quiet_terminal

quiet_terminal()

from ops.terminal import check_command_line  # noqa: E402

settings, path = check_command_line()

from ops.run_name import named  # noqa: E402
from pipelines.concept_static import coti_concept_static  # noqa: E402

sys.modules[__name__] = named(coti_concept_static, settings, path)  # type: ignore[assignment]

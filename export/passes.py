"""The passes that clean a graph before it is lowered, in order. Each keeps ``execute(before, x) == execute(after, x)``.

(The final softmax is the exception that its pass names.)
"""

from collections.abc import Callable

from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.pass_constants import fold_constants
from bitwright.export.pass_identities import remove_identities
from bitwright.export.pass_softmax import remove_final_softmax

Pass = Callable[[ModelWrapper], ModelWrapper]

PASSES: tuple[Pass, ...] = (fold_constants, remove_identities, remove_final_softmax)


def clean(model: ModelWrapper) -> ModelWrapper:
    """Return the graph after every pass; the argument stays as it is."""
    model = ModelWrapper(model.model, make_deepcopy=True)
    for step in PASSES:
        model = step(model)
    return model

"""The TOSCA parser of OpenStack (`tosca-parser` of PyPI) on templates: each has to pass, with the nodes, policies and triggers
that it holds. Prints one line a template; what is refused ends it."""
import sys

from toscaparser.tosca_template import ToscaTemplate

for path in sys.argv[1:]:
    template = ToscaTemplate(path)
    nodes = sorted(node.name for node in template.nodetemplates)
    policies = sorted(
        f"{policy.name}:{trigger.name}={trigger.get_condition().get('constraint')}" for policy in template.policies for trigger in policy.triggers
    )
    assert nodes and policies, path
    print(" ".join(nodes + policies))

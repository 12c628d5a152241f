from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.prompts.table import print_prompt


def test_names_with_brackets_are_printed_as_they_are(capsys):
    skeleton = Skeleton("lamp [old]", ("foot [red]", "bulb"), ((0, 1),), (), (0.05, 0.05))
    print_prompt(Prompt(skeleton))
    told = capsys.readouterr().out
    assert "foot [red]" in told
    assert told.count("lamp [old]") == 2  # what it is, and the table's title

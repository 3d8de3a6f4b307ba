"""`pix2pix-tf benchmark`: how fast the package is, beside its limits and beside the usual ways.

    measure.py                     rounds, medians, ratios, peak memory
    worker.py                      competitors in processes of their own, told when to run
    train.py, input.py, colorize.py, infer.py, start.py, scale.py      one subject each
    tutorial.py, torch_step.py, torch_input.py                         what they compare with
    pictures.py                    the photographs that are measured on
    machine.py, report.py          machine and versions; JSON and Markdown
    suite.py                       the command: subjects in turn, results written

All competitors run in one run, round by round in turn, so that whatever else the machine does
strikes them alike. Nothing heavy is imported before it is measured.
"""

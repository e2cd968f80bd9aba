"""DVC's remotes: setting them up, examining them, and the rights that they need.

In reading order:

- `remote`: one remote: URL, options, credentials that must not be there
- `setup`: edits .dvc/config
- `doctor`: finds what is wrong with the remotes
- `s3_bucket`: the doctor's questions to S3
- `finding`: what the doctor finds
- `policies`: the least rights of each role, as IAM policies

Example, in a repository:

    from pathlib import Path
    from facemodels.storage.remotes.doctor import examine

    for finding in examine(Path.cwd()):
        print(finding.where, finding.text, finding.remedy)
"""

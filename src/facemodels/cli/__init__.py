"""The command line. A module of commands parses options, calls the library and prints.

Modules in reading order:

- `main`: the group of all commands; it turns our errors into exit codes
- `lazy`: groups that import a command when it is called
- `options`, `registry_options`, `environment_options`, `table`: options and output that
  commands share
- `guard`: exit codes of the scripts in stages/
- one module for each command or group of commands, named after it, such as `train`,
  `registry` or `deploy`; groups of `facemodels storage` have a module each

Example:
    $ facemodels prepare landmarks --output out/landmarks --picture sheet.png
"""

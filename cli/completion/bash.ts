/** The completion of bash, version 4 or later. */
export const BASH = `# bash completion for psample

_psample() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() word i
  # Readline divides words at = and : too; psample is told what is between blanks.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
      words+=("")
      line=\${line#"\${line%%[![:space:]]*}"}
    fi
    # The cursor may be inside of the last one.
    [[ $line == "$word"* ]] || word=$line
    words[\${#words[@]} - 1]+=$word
    line=\${line#"$word"}
  done
  local last=$((\${#words[@]} - 1)) quote= kept= part
  local current=\${words[last]}
  case $current in
    [\\'\\"]*) quote=\${current:0:1} current=\${current:1} ;;
  esac
  # Of a word that readline divides, it replaces only the last part.
  if [[ -z $quote ]]; then
    for i in = : @; do
      [[ $COMP_WORDBREAKS == *$i* && $current == *$i* ]] || continue
      part=\${current%"\${current##*$i}"}
      ((\${#part} <= \${#kept})) || kept=$part
    done
  fi

  local reply
  mapfile -t reply < <("\${words[0]/#\\~/$HOME}" __complete "\${words[@]:1:last-1}" "$current" 2>/dev/null </dev/null)
  local marks=" \${reply[0]} " head=\${reply[1]} candidate
  local rest=\${current#"$head"}
  COMPREPLY=()
  for candidate in "\${reply[@]:2}"; do
    candidate=$head\${candidate%%$'\\t'*}
    [[ $candidate == "$current"* ]] || continue
    candidate=\${candidate#"$kept"}
    # The shell must not make anything of the name of a device. With names of files, readline takes care of that.
    [[ $quote || $marks == *" file "* || $candidate =~ ^[[:alnum:]_.,:/=@%+-]*$ ]] || printf -v candidate %q "$candidate"
    COMPREPLY+=("$candidate")
  done
  part=\${head#"$kept"}
  if [[ $marks == *" file "* ]]; then
    compopt -o filenames
    mapfile -t reply < <(compgen -f -- "$rest")
    COMPREPLY+=("\${reply[@]/#/$part}")
  fi
  if [[ $marks == *" user "* ]]; then
    mapfile -t reply < <(compgen -u -- "$rest")
    COMPREPLY+=("\${reply[@]/#/$part}")
  fi
  if [[ $marks == *" host "* ]]; then
    mapfile -t reply < <(compgen -A hostname -- "$rest")
    COMPREPLY+=("\${reply[@]/#/$part}")
  fi
  [[ $marks != *" open-"* ]] || compopt -o nospace
}

complete -F _psample psample
`;

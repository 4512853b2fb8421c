/** The completion of zsh. */
export const ZSH = `#compdef psample
# zsh completion for psample

_psample() {
  local -a reply words_before rows
  local head line about
  words_before=("\${(@Q)words[2,CURRENT-1]}")
  ((CURRENT > 2)) || words_before=()
  reply=("\${(@f)$(\${~\${(Q)words[1]}} __complete "\${words_before[@]}" "\${(Q)PREFIX}" 2>/dev/null </dev/null)}")
  local -a marks=(\${=reply[1]})
  head=$reply[2]
  # What stays as it is belongs to no candidate.
  [[ -z $head ]] || compset -P "\${(b)head}"
  for line in "\${(@)reply[3,-1]}"; do
    about=\${line#*$'\\t'}
    [[ -z $line ]] || rows+=("\${\${line%%$'\\t'*}//:/\\\\:}\${about:+:$about}")
  done
  local found=1
  if ((\${#rows})); then
    if ((\${marks[(Ie)open-list]})); then
      _describe -t values value rows -qS , && found=0
    elif ((\${marks[(Ie)open-value]})); then
      _describe -t values value rows -S '' && found=0
    else
      _describe -t values value rows && found=0
    fi
  fi
  if ((\${marks[(Ie)file]})); then _files && found=0; fi
  if ((\${marks[(Ie)user]})); then _users && found=0; fi
  if ((\${marks[(Ie)host]})); then _hosts && found=0; fi
  return $found
}

# As a file of fpath this is the body of the function; read by source or eval it defines one.
if [[ \${funcstack[1]} == _psample ]]; then
  _psample "$@"
else
  compdef _psample psample
fi
`;

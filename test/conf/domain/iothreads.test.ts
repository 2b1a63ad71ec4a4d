import { fragments } from '../../helper/fragments.ts'

fragments('iothreads', { in: 'domain', show: ['iothreads', 'iothreadids', 'defaultiothread'] })`
  <iothreads>2</iothreads>
    =
  <iothreads>0</iothreads>
    -
  <iothreads>x</iothreads>
    ! VIR_ERR_XML_ERROR: XML error: invalid iothreads count 'x'
  <iothreads>-1</iothreads>
    ! VIR_ERR_XML_ERROR: XML error: invalid iothreads count '-1'
  <iothreadids><iothread id='5'/><iothread id='2'/></iothreadids>
    = <iothreads>2</iothreads><iothreadids><iothread id='5'/><iothread id='2'/></iothreadids>
  <iothreads>1</iothreads><iothreadids><iothread id='5'/><iothread id='2'/></iothreadids>
    = <iothreads>2</iothreads><iothreadids><iothread id='5'/><iothread id='2'/></iothreadids>
  <iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>
    = <iothreads>3</iothreads><iothreadids><iothread id='2'/><iothread id='1'/><iothread id='3'/></iothreadids>
  <iothreadids><iothread id='0'/></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'iothread': Zero is not permitted
  <iothreadids><iothread/></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'iothread'
  <iothreadids><iothread id='x'/></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'iothread': 'x'. Expected non-negative integer value
  <iothreadids><iothread id='1'/><iothread id='1'/></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: duplicate iothread id '1' found
  <iothreadids><iothread id='1' thread_pool_min='2' thread_pool_max='4'/></iothreadids>
    = <iothreads>1</iothreads><iothreadids><iothread id='1' thread_pool_min='2' thread_pool_max='4'/></iothreadids>
  <iothreadids><iothread id='1' thread_pool_min='8' thread_pool_max='4'/></iothreadids>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: thread_pool_min must be smaller or equal to thread_pool_max
  <iothreadids><iothread id='1' thread_pool_max='-1'/></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'thread_pool_max' in element 'iothread': '-1'. Expected non-negative value
  <iothreadids><iothread id='1' thread_pool_min='x'/></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'thread_pool_min' in element 'iothread': 'x'. Expected integer value
  <iothreads>1</iothreads><defaultiothread thread_pool_min='8' thread_pool_max='16'/>
    =
  <defaultiothread thread_pool_min='8'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: thread_pool_min must be smaller or equal to thread_pool_max
  <defaultiothread thread_pool_max='0'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: thread_pool_max must be a positive integer
  <defaultiothread thread_pool_min='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'thread_pool_min' in element 'defaultiothread': 'x'. Expected integer value
`

fragments('polling', { in: 'domain' })`
  <iothreads>1</iothreads><iothreadids><iothread id='7'><poll max='5' grow='6' shrink='0' weight='3'/></iothread></iothreadids>
    =
  <iothreads>1</iothreads><iothreadids><iothread id='7'><poll max='x'/></iothread></iothreadids>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'max' in element 'poll': 'x'. Expected non-negative integer value
`
